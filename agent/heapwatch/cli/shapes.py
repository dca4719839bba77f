"""What each command prints with --json: the shapes, in one place for the helps, the documentation and tests.

`heapwatch_wire.shapes` says how they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INFO = {
    "pid": "number",
    "service": "text",
    "version": "text",
    "instance": "text",
    "python": "text",
    "started": "moment",
    "uptime": "duration",
    "watched": "duration since the agent began",
    "rss": "size",
    "peak": "size",
    "live_bytes": "size",
    "live_objects": "number",
    "interval": "mean bytes between two samples",
    "collector": "address",
    "reason": "why nothing is sampled, else empty",
}
_CALL = {"function": "text", "file": "path", "line": "number"}
_STEP = {"command": "text", "effect": "text"}
_EVIDENCE = {"...": "evidence document, as /api/v1/openapi.json of a collector describes it"}
_SAMPLING = {"enabled": "0|1", "interval": "size", "live_samples": "number"}
_PAUSES = {"count": "number", "p50?": "duration", "p99?": "duration", "max?": "duration"}
_PAGES = {
    "rss": "size",
    "pss": "size",
    "shared_clean": "size",
    "shared_dirty": "size",
    "private_clean": "size",
    "private_dirty": "size",
    "swap": "size",
}
_GARBAGE = {
    "enabled": "true|false",
    "thresholds": ["number"],
    "counts": ["number"],
    "frozen": "objects",
    "uncollectable": "objects in gc.garbage",
    "generations": [{"collections": "number", "collected": "objects", "uncollectable": "objects"}],
    "rss_before": "size",
    "rss": "size",
    "collected?": "objects, with --collect",
    "seconds?": "duration, with --collect",
    "tuner": {"...": "state and last actions of the tuner"},
    "pauses": [{"time": "moment", "generation": "0|1|2", "seconds": "duration", "inside": "true|false"}],
    "pause_quantiles": {"inside": _PAUSES, "outside": _PAUSES},
    "pause_generations": [
        {"collections": "number", "collected": "objects", "seconds": "duration", "quantiles": _PAUSES}
    ],
}
_PROCESS = {
    "pid": "number",
    "main": "pid of the outermost ancestor with an agent",
    "service": "text",
    "version": "text",
    "uptime": "duration",
    "rss": "size",
    "peak": "size",
    "used": "size",
    "limit": "size",
    "growth": "bytes per second?",
    "live_bytes": "size",
    "gc_share": "share?",
    "gc_longest": "duration?",
    "requests_in_flight": "number",
    "requests_per_second": "rate?",
    "note": "text",
}
_SITE = {
    "service": "text",
    "id": "text",
    **_CALL,
    "live_bytes": "size",
    "live_objects": "number",
    "inherited_bytes": "size",
    "growth": "bytes per second",
    "alloc_rate": "bytes per second?",
}
_GENERATION = {
    "pid": "number",
    "generation": "0|1|2",
    "threshold": "number",
    "young": "number",
    "collections_per_second": "rate",
    "collected_per_second": "rate",
    "share": "share of the time",
    "p50": "duration?",
    "p99": "duration?",
    "longest": "duration?",
}
_ENDPOINT = {
    "service": "text",
    "kind": "request|task|job",
    "name": "text",
    "requests": "number",
    "requests_per_second": "rate",
    "p99": "duration?",
    "mean": "duration",
    "allocated": "size, of one request",
    "retained": "size, of all",
    "live": "size",
    "statements": "number, of one request",
    "repeated": "how often one request executes the same statement, at most",
    "repeated_by": "text",
}
_ENDPOINT_SUMS = {
    "name": "text",
    "kind": "request|task|job",
    "requests": "number",
    "seconds": "duration",
    "allocated": "size",
    "retained": "size",
    "peak": "size",
    "live": "size",
    "cpu": "duration, of cpu_requests",
    "cpu_requests": "number",
    "gc": "duration",
    "statements": "number",
    "statement_seconds": "duration",
    "template_seconds": "duration",
    "repeated": [{"statement": "text", "requests": "number", "most": "number", "line": "text"}],
}
_MEMORY = {
    "rss": "size",
    "peak": "size",
    "swap": "size",
    "explained": "share of RSS",
    "parts": {"PART": "size"},
    "trimmable": "size",
    "fragmentation": {"ALLOCATOR": "share of what it holds"},
    "mappings": {"KIND": _PAGES},
    "pymalloc": {"...": "bytes held, used, free, by size class; null without an agent"},
    "malloc": {"...": "bytes held, used, free, releasable; null without an agent"},
    "unknown": ["parts that aren't told apart"],
    "agent_bytes?": "size",
    "phases?": {"NAME": {"runs": "number", "seconds": "duration", "peak": "size", "growth": "bytes"}},
}
_COUNTED = {"objects": "number", "bytes": "size", "objects_margin": "number", "bytes_margin": "size"}
_CENSUS = {
    "pid": "number",
    "service": "text",
    "time": "moment",
    "types": {"TYPE": _COUNTED},
    "objects": "number",
    "bytes": "size",
    "tracked": "objects that the garbage collector tracks",
    "stride": "one in so many was looked at in the end",
    "complete": "true|false",
    "cpu": "duration",
}
_DOCTOR = {
    "facts": {"...": "what the findings are made of: of the kernel, the machine, the container, the agent"},
    "findings": [
        {
            "severity": "critical|warning|note",
            "title": "text",
            "because": ["text"],
            "next": [_STEP],
            "emergency": [_STEP],
        }
    ],
}
_LEAKTEST = {
    "leak": "true|false",
    "kind": "python|native|cycle|none",
    "bytes_per_step": "size",
    "interval": ["95% interval of it: two sizes"],
    "sites": [
        {
            **_CALL,
            "type": "text",
            "module": "extension module, when native",
            "bytes_per_step": "size",
            "count_per_step": "number",
            "holders": ["text"],
            "stack": [_CALL],
        }
    ],
    "steps": "number",
    "seconds": "duration",
    "notes": ["text"],
}
_DIFFERENCE = {
    "id": "text",
    **_CALL,
    "before": "size",
    "after": "size",
    "change": "bytes",
    "error": "bytes, one standard error",
    "before_objects": "number",
    "after_objects": "number",
}

SHAPES: Mapping[str, Any] = {
    "attach": {
        "PID": {
            "service": "text",
            "python": "text",
            "interval": "mean bytes between two samples",
            "reason": "why nothing is sampled, else empty",
            "folder": "of the control socket",
            "running": "true|false: whether it had an agent before",
            "held": "for how long one thread stood still?",
        }
    },
    "ps": [_INFO],
    "top": {
        "time": "moment",
        "window": "duration that rates are of; null: since the agents' start?",
        "processes": [_PROCESS],
        "sites": [_SITE],
        "gc": [_GENERATION],
        "endpoints": [_ENDPOINT],
    },
    "leaks": {"documents": [_EVIDENCE]},
    "holders": {
        "PID": {
            "site": {"...": "site, as in evidence"},
            "type": "text",
            "holders": [
                {
                    "path": "text",
                    "root": "module|class|thread|frame|generator|C|unknown",
                    "types": ["text"],
                    "share": "share",
                }
            ],
            "reasons": ["text"],
        }
    },
    "census": {"PID": _CENSUS},
    "memory": {"PID": _MEMORY},
    "requests": {"pids": ["number"], "endpoints": [_ENDPOINT_SUMS]},
    "doctor": [_DOCTOR],
    "snapshot": {"file": "path", "bytes": "size", "processes": ["pid"]},
    "report": {
        "type": "sample type",
        "unit": "text",
        "types": [{"name": "text", "unit": "text"}],
        "time": "moment",
        "interval": "mean bytes between two samples",
        "total": "size",
        "sites": [{**_CALL, "flat": "size", "cumulative": "size", "objects": "number"}],
        "frames": [_CALL],
        "stacks": [{"value": "size", "objects": "number", "frames": ["number of a frame"]}],
    },
    "diff": {
        "type": "sample type",
        "unit": "text",
        "before": "size",
        "after": "size",
        "confidence": "share",
        "sites": [_DIFFERENCE],
    },
    "gc": {"PID": _GARBAGE},
    "trim": {"PID": {"rss_before": "size", "rss": "size", "seconds": "duration"}},
    "drain": {
        "pid": "number",
        "begun": "true|false",
        "running": "requests",
        "grace": "duration",
        "signal": "name",
        "graceful": "true|false",
    },
    "pause": {"PID": _SAMPLING},
    "resume": {"PID": _SAMPLING},
    "leaktest": _LEAKTEST,
    "version": {
        "heapwatch": "text",
        "python": "text",
        "sampler": "true|false: loads",
        "no_sampler": "text: why it doesn't",
    },
}
