"""Symptoms of trouble with memory: each is a rule over the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from heapwatch_wire.evidence import Evidence
from heapwatch_wire.thresholds import (
    FRAGMENTATION,
    GC_PAUSE_LONG,
    GC_PAUSE_SEVERE,
    LIMIT_IMMINENT,
    MEMORY_CRITICAL,
    MEMORY_GROWTH,
    MEMORY_HIGH,
)

from heapwatch.cli.doctor.facts import Facts
from heapwatch.cli.units import count, duration, share, size

Severity = Literal["critical", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note")

_DESCRIPTORS = 0.8
_SHOWN_ACTIONS = 3
_STALLED = 0.1
_THREADS = 200
_UNEXPLAINED = 0.2
_UNUSED_WORTH_A_WORD = 32 << 20
_FAULTS = 50_000
"""Pages a second; each takes the kernel about a microsecond, so this is a twentieth of a processor."""
_LATE_GARBAGE = 10_000
_PAGE = 4096
_WORTH_TRIMMING = 1 << 20


@dataclass(frozen=True)
class Step:
    """A command and what it tells or does."""

    command: str
    effect: str


@dataclass(frozen=True)
class Finding:
    """A symptom in plain words and its figures; `next` looks closer, `emergency` is safe to do now."""

    severity: Severity
    title: str
    because: tuple[str, ...] = ()
    next: tuple[Step, ...] = ()
    emergency: tuple[Step, ...] = ()


Rule = Callable[[Facts], Finding | None]


def diagnose(facts: Facts) -> list[Finding]:
    """What is wrong with the process, the most urgent first."""
    found = [finding for rule in RULES if (finding := rule(facts)) is not None]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _killed(facts: Facts) -> Finding | None:
    kills = facts.container.events.get("oom_kill", 0) if facts.container else 0
    if not kills:
        return None
    return Finding(
        "critical",
        f"The kernel has killed {count(kills)} processes of this container for lack of memory",
        (_usage(facts),),
        (Step("dmesg --ctime | grep -i 'killed process'", "which, when, and how large they were"),),
        _relief(facts),
    )


def _limit(facts: Facts) -> Finding | None:
    used, limit, _ = facts.bound
    if not limit or used < MEMORY_HIGH.value * limit:
        return None
    critical = used >= MEMORY_CRITICAL.value * limit
    biggest = [f"{_place(site)}: {size(site['live_bytes'])} live" for site in _sites(facts)[:3]]
    return Finding(
        "critical" if critical else "warning",
        f"Memory is at {share(used / limit)} of its limit",
        (_usage(facts), *biggest),
        (Step(f"heapwatch memory {facts.pid}", "the process's memory in parts that sum to its RSS"),),
        _relief(facts),
    )


def _leak(facts: Facts) -> Finding | None:
    proved = [each for each in _evidence(facts) if each.verdict == "leak"]
    if not proved:
        return None
    rate = sum(each.growth.bytes_per_second for each in proved)
    used, limit, _ = facts.bound
    left = max(0, limit - used) / rate if rate > 0 else None
    end = (f"at this rate the limit is met in {duration(left)}",) if left is not None else ()
    imminent = left is not None and left < LIMIT_IMMINENT.value
    return Finding(
        "critical" if imminent else "warning",
        f"A leak: {_line(proved[0])}" + (f" and {len(proved) - 1} more" if len(proved) > 1 else ""),
        (*map(_grows, proved[:3]), *end),
        (Step(f"heapwatch leaks {facts.pid}", "the evidence, and what to change"),),
        _relief(facts),
    )


def _growth(facts: Facts) -> Finding | None:
    suspected = _evidence(facts)
    if any(each.verdict == "leak" for each in suspected):
        return None
    if suspected:
        return Finding(
            "note",
            f"{_line(suspected[0])} grows; no leak is proved yet",
            tuple(map(_grows, suspected[:3])),
            (Step(f"heapwatch leaks {facts.pid}", "what is known so far; ask again in some minutes"),),
        )
    if facts.growth < MEMORY_GROWTH.value * 10:
        return None
    return Finding(
        "warning",
        f"RSS grew {size(facts.growth * facts.watched)} while it was watched for {facts.watched:.0f} s",
        (
            f"{size(facts.growth * 60)} a minute, rss is {size(facts.status.rss)};"
            " for so short a time a burst and a leak look the same",
        ),
        (Step(f"heapwatch doctor {facts.pid} --watch 60", "whether it goes on"),),
    )


def _native(facts: Facts) -> Finding | None:
    unexplained = facts.parts.get("unexplained", 0)
    if facts.agent is None or unexplained < _UNEXPLAINED * facts.status.rss:
        return None
    return Finding(
        "note",
        f"{share(unexplained / facts.status.rss)} of RSS is mapped by libraries past all allocators",
        (f"{size(unexplained)} of {size(facts.status.rss)}",),
        (
            Step(
                "heapwatch run --native -- COMMAND",
                "attributes memory of C code to the Python line that asked",
            ),
        ),
    )


def _pauses(facts: Facts) -> Finding | None:
    found = _slowest(facts)
    if found.get("count", 0) < 5 or found["p99"] < GC_PAUSE_LONG.value:
        return None
    severe = found["p99"] >= GC_PAUSE_SEVERE.value
    return Finding(
        "warning" if severe else "note",
        f"Garbage collection stops the service for up to {duration(found['max'])}",
        (
            f"of the last {count(found['count'])} pauses the median is {duration(found['p50'])}, the 99th"
            f" percentile {duration(found['p99'])}: it walks large graphs of objects",
        ),
        (
            Step(f"heapwatch gc {facts.pid}", "each pause, and what the tuner would do"),
            Step(f"heapwatch census {facts.pid}", "which types there are most of"),
        ),
        (Step(f"heapwatch gc {facts.pid} --tune act", "collects between requests, freezes what lives long"),),
    )


def _slowest(facts: Facts) -> Mapping[str, float]:
    """The pauses of the generation with the longest; where requests are served, those that stopped some."""
    state = facts.agent.gc if facts.agent else {}
    inside: Mapping[str, float] = state.get("pause_quantiles", {}).get("inside", {})
    if inside.get("count") or not state:
        return inside
    quantiles: list[Mapping[str, float]] = [each["quantiles"] for each in state["pause_generations"]]
    return max(quantiles, key=lambda each: each.get("p99", 0.0), default={})


def _cycles(facts: Facts) -> Finding | None:
    if facts.agent is None or not facts.agent.gc["pause_generations"]:
        return None
    oldest = facts.agent.gc["pause_generations"][-1]
    late = oldest["collected"] / max(1, oldest["collections"])
    if late < _LATE_GARBAGE:
        return None
    return Finding(
        "warning" if facts.growth >= MEMORY_GROWTH.value * 10 else "note",
        f"A full collection frees {count(late)} objects on average: reference cycles, which grow until then",
        (f"{count(oldest['collections'])} full collections freed {count(oldest['collected'])} objects",),
        (Step(f"heapwatch gc {facts.pid} --cycles 30", "which lines make them, and what would break them"),),
        (_collect(facts),),
    )


def _slow_allocation(facts: Facts) -> Finding | None:
    if facts.faults < _FAULTS or facts.growth > facts.faults * _PAGE / 2:
        return None
    held = (f"{name} holds {share(value)} unused" for name, value in facts.fragmentation.items())
    return Finding(
        "warning",
        f"Allocation is slow: {count(facts.faults)} pages a second come from the kernel, and go again",
        (f"{size(facts.faults * _PAGE)} a second are asked for, while RSS stays what it is", *held),
        (
            Step(f"heapwatch top {facts.pid} --sort alloc/s", "which lines allocate most"),
            Step("heapwatch run --malloc jemalloc -- COMMAND", "an allocator that gives back later"),
        ),
    )


def _collector(facts: Facts) -> Finding | None:
    if facts.agent is None:
        return None
    state = facts.agent.gc
    if state["uncollectable"]:
        return Finding(
            "warning",
            f"{count(state['uncollectable'])} objects that no collection can free are in gc.garbage",
            next=(Step(f"heapwatch gc {facts.pid}", "the collector's state"),),
        )
    if state["enabled"] or (state["tuner"] or {}).get("acting"):
        return None
    return Finding(
        "note",
        "Automatic garbage collection is off: reference cycles stay until somebody collects",
        emergency=(_collect(facts),),
    )


def _fragmentation(facts: Facts) -> Finding | None:
    unused = max(facts.fragmentation.values(), default=0.0)
    free = sum(facts.parts.get(part, 0) for part in ("pymalloc free", "malloc free"))
    if unused < FRAGMENTATION.value or free < _UNUSED_WORTH_A_WORD:
        return None
    told = (f"{name} holds {share(value)} unused" for name, value in facts.fragmentation.items())
    return Finding(
        "warning" if free > FRAGMENTATION.value * facts.status.rss else "note",
        f"{size(free)} are held and unused ({share(free / facts.status.rss)} of RSS): fragmentation",
        (*told, f"malloc would give back {size(facts.trimmable)} of it"),
        (Step(f"heapwatch memory {facts.pid}", "which allocator holds what"),),
        (_trim(facts),),
    )


def _swapped(facts: Facts) -> Finding | None:
    if facts.status.swap < FRAGMENTATION.value * facts.status.rss:
        return None
    return Finding(
        "warning",
        f"{size(facts.status.swap)} of the process are swapped out: what touches them waits for the disk",
        (f"{size(facts.machine.available)} of the machine's memory are available",),
    )


def _stalls(facts: Facts) -> Finding | None:
    if facts.machine.stalled < _STALLED:
        return None
    return Finding(
        "critical",
        f"Tasks waited for memory {share(facts.machine.stalled)} of the last ten seconds",
        (f"{size(facts.machine.available)} of {size(facts.machine.total)} are available on the machine",),
        (Step("cat /proc/pressure/memory", "the kernel's own figures"),),
        _relief(facts),
    )


def _threads(facts: Facts) -> Finding | None:
    if facts.status.threads < _THREADS:
        return None
    return Finding(
        "note",
        f"{count(facts.status.threads)} threads: each has a stack, and may have an arena of malloc",
        (f"stacks take {size(facts.parts.get('stacks', 0))}",),
        (Step("py-spy dump --pid " + str(facts.pid), "what they do"),),
    )


def _descriptors(facts: Facts) -> Finding | None:
    if not facts.descriptors_limit or facts.status.descriptors < _DESCRIPTORS * facts.descriptors_limit:
        return None
    return Finding(
        "warning",
        f"{count(facts.status.descriptors)} of {count(facts.descriptors_limit)} file descriptors are open",
        next=(Step(f"ls -l /proc/{facts.pid}/fd", "which files and sockets"),),
    )


def _defence(facts: Facts) -> Finding | None:
    defence = facts.agent.stats["agent"].get("defence", {}) if facts.agent else {}
    if defence.get("state", "ok") == "ok":
        return None
    done = defence["recent"][:_SHOWN_ACTIONS]
    used = (
        f"{size(defence['used'])} of {size(defence['limit'])} of the {defence['whose']} are used; "
        if defence["limit"]
        else ""
    )
    waits = (f"it doesn't drain: {defence['waits']}",) if defence["waits"] else ()
    return Finding(
        "note" if defence["state"] == "soft" else "warning",
        f"The defence is in state {defence['state']}"
        + (" (it only observes)" if defence["mode"] == "observe" else ""),
        (
            f"{used}{count(defence['shed'])} requests were refused",
            *waits,
            *(f"{each['kind']} ({each['reason']}): {each['before']} -> {each['after']}" for each in done),
        ),
        (Step(f"heapwatch leaks {facts.pid}", "whether something leaks, and what to change"),),
    )


def _silent(facts: Facts) -> Finding | None:
    if not facts.silent:
        return None
    return Finding(
        "critical",
        "The agent in the process doesn't answer: it is stopped, starved, or C code holds the interpreter",
        (facts.silent, *facts.threads),
        (Step(f"py-spy dump --native --pid {facts.pid}", "where each thread is, in C code too"),),
    )


def _agent(facts: Facts) -> Finding | None:
    if facts.silent:
        return None
    if facts.agent is None:
        return _no_agent(facts)
    sampler = facts.agent.stats["agent"]["sampler"]
    if sampler["reason"]:
        return Finding("note", f"The agent takes no samples: {sampler['reason']}")
    if not sampler.get("hooks_intact", 1):
        return Finding(
            "warning", "Another tool has displaced the sampler's hooks: figures are too low since then"
        )
    return None


def _no_agent(facts: Facts) -> Finding:
    if not facts.python:
        return Finding("note", "This is no Python program: only what the kernel knows of it can be told")
    steps = [
        Step(f"heapwatch attach {facts.pid}", "puts the agent in while it runs; then ask again in a minute"),
        Step("heapwatch run -- COMMAND", "starts the program with it"),
    ]
    if facts.memray:
        steps.append(
            Step(
                f"heapwatch doctor {facts.pid} --memray 3",
                "which lines allocate most: stops the program while a debugger puts memray in (needs memray"
                " there), and slows it for 3 seconds",
            )
        )
    return Finding(
        "note",
        "No agent in this process: it would tell which lines make memory grow, what holds the objects, what"
        " each endpoint takes, and how long garbage collection pauses",
        facts.threads,
        tuple(steps),
    )


def _allocations(facts: Facts) -> Finding | None:
    if not facts.memray_seconds:
        return None
    if not facts.allocated:
        return Finding("note", f"Nothing was allocated while memray watched for {facts.memray_seconds} s")
    most = facts.allocated[0]
    return Finding(
        "note",
        f"{most.function} ({most.file}:{most.line}) allocates most",
        tuple(
            f"{each.function} ({each.file}:{each.line}): {size(each.bytes / facts.memray_seconds)} a second"
            for each in facts.allocated
        ),
        (Step(f"heapwatch attach {facts.pid}", "would tell which of it stays, and what holds it"),),
    )


RULES: tuple[Rule, ...] = (
    _silent,
    _killed,
    _leak,
    _limit,
    _defence,
    _stalls,
    _growth,
    _swapped,
    _fragmentation,
    _slow_allocation,
    _pauses,
    _cycles,
    _collector,
    _descriptors,
    _native,
    _threads,
    _allocations,
    _agent,
)
"""Of two findings as severe as each other the one of the earlier rule comes first."""


def _sites(facts: Facts) -> tuple[Mapping[str, Any], ...]:
    return facts.agent.sites if facts.agent else ()


def _evidence(facts: Facts) -> tuple[Evidence, ...]:
    return facts.agent.evidence if facts.agent else ()


def _line(evidence: Evidence) -> str:
    if evidence.parts:
        return evidence.site.function
    return f"{evidence.site.function} ({evidence.site.file}:{evidence.site.line})"


def _grows(evidence: Evidence) -> str:
    held = f", held by {evidence.holders[0].path}" if evidence.holders else ""
    return (
        f"{evidence.site.function}: {size(evidence.growth.bytes_per_second * 60)} a minute,"
        f" {size(evidence.live_bytes)} live{held}"
    )


def _place(site: Mapping[str, Any]) -> str:
    return f"{site['function']} ({site['file']}:{site['line']})"


def _usage(facts: Facts) -> str:
    used, limit, whose = facts.bound
    return f"{size(used)} of {size(limit)} of {whose} are used, {size(facts.status.rss)} by this process"


def _relief(facts: Facts) -> tuple[Step, ...]:
    """What wins time without harm, the mildest first."""
    if facts.agent is None:
        return ()
    return (
        *([_trim(facts)] if facts.trimmable >= _WORTH_TRIMMING else []),
        _collect(facts),
        Step(
            f"heapwatch snapshot {facts.pid} -o heap.pb.gz",
            "keeps what is live now for the time after a restart",
        ),
        *([_drain(facts)] if facts.worker else []),
    )


def _drain(facts: Facts) -> Step:
    return Step(
        f"heapwatch drain {facts.pid}",
        "the worker takes no more requests, finishes those that run and ends; its manager starts another",
    )


def _collect(facts: Facts) -> Step:
    generations = facts.agent.gc["pause_generations"] if facts.agent else []
    longest = generations[-1]["quantiles"].get("max") if generations else None
    pause = f" for about {duration(longest)}" if longest else " meanwhile"
    return Step(
        f"heapwatch gc {facts.pid} --collect", f"frees reference cycles; the service stands still{pause}"
    )


def _trim(facts: Facts) -> Step:
    return Step(
        f"heapwatch trim {facts.pid}",
        f"gives about {size(facts.trimmable)} back to the kernel in milliseconds; nothing else changes",
    )
