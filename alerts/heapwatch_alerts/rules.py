"""The table of alert rules: what is judged, how long it must last, what it means, what to do.

Prometheus' rules, the embedded evaluation and the index of runbooks are all made from it. Each rule has a
page in docs/runbooks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from heapwatch_wire import thresholds
from heapwatch_wire.metric import Metric
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.thresholds import Threshold

from heapwatch_alerts.expressions import (
    Comparison,
    Condition,
    Expression,
    Group,
    Last,
    Matcher,
    Over,
    Quantile,
    Ratio,
    Series,
)

Severity = Literal["critical", "warning", "info"]

JOB = "heapwatch"
"""The name of the scrape job that reads the collector's page."""

MINUTE = 60
HOUR = 3600

UP = Metric("up", "gauge", "", "Whether the collector's page could be read; Prometheus makes it itself.")

INSTANCE = ("service", "version", "instance")
SERVICE = ("service",)
SITE = (
    "service",
    "version",
    "heapwatch_site",
    "code_function_name",
    "code_file_path",
    "code_line_number",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert. `hold` is how many seconds the condition must last; `action` what a person does first.

    `summary` and `evidence` (a page of the collector) are templates, see `heapwatch_alerts.wording`.
    """

    name: str
    severity: Severity
    threshold: Threshold
    condition: Condition
    hold: int
    summary: str
    action: str
    evidence: str = "/#/services/{?service}"

    @property
    def alert(self) -> str:
        """Name among the alerts of other products."""
        return "Heapwatch" + self.name

    @property
    def page(self) -> str:
        """File name of the rule's runbook page."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.name).lower() + ".md"

    @property
    def needs(self) -> tuple[str, ...]:
        """Metrics that the judged service has to send itself, or the rule never fires."""
        metrics = (series.metric for series, _ in self.condition.selections())
        return tuple(sorted({m.name for m in metrics if m.source == "app"}))


def _last(name: str, function: Literal["sum", "max", "min"] = "max", by: tuple[str, ...] = INSTANCE) -> Group:
    return Group(function, by, Last(Series(BY_NAME[name])))


def _increase(
    name: str,
    window: int,
    *where: Matcher,
    function: Literal["sum", "max"] = "max",
    by: tuple[str, ...] = INSTANCE,
) -> Group:
    return Group(function, by, Over("increase", Series(BY_NAME[name], where), window))


def _action(kind: str) -> Matcher:
    return Matcher("heapwatch_action", "=", kind)


def _requests(window: int, *where: Matcher) -> Group:
    series = Series(BY_NAME["http.server.request.duration"], where, "count")
    return Group("sum", SERVICE, Over("rate", series, window))


def _cache_lookups(*where: Matcher) -> Group:
    by = ("service", "app_cache_name")
    return Group("sum", by, Over("rate", Series(BY_NAME["app.cache.lookups"], where), 15 * MINUTE))


def _judge(threshold: Threshold, of: Expression, *only_if: Comparison) -> Condition:
    operator: Literal[">", "<"] = ">" if threshold.bad == "above" else "<"
    return Condition(Comparison(of, operator, threshold.value), only_if)


def _older_than(seconds: int, by: tuple[str, ...] = INSTANCE) -> Comparison:
    """Guard: every process of the group has run longer, so that its start is not in the window."""
    return Comparison(_last("process.uptime", "min", by), ">", seconds)


_LIMIT_SHARE = Ratio(_last("container.memory.working_set"), _last("heapwatch.container.memory.limit"))
_FOR_MEMORY = Matcher("heapwatch_reason", "=~", "optional|all")
_ACTED = Matcher("heapwatch_defence_mode", "=", "act")
_PAUSES = Quantile(0.99, (*INSTANCE, "cpython_gc_generation"), BY_NAME["heapwatch.gc.pause"], 5 * MINUTE)

# Routes of the reference application; a rule for another service names its own.
_FEED = (Matcher("http_request_method", "=", "GET"), Matcher("http_route", "=", "/feed"))
_UPLOAD = (Matcher("http_request_method", "=", "POST"), Matcher("http_route", "=", "/new"))
_FAILED = Matcher("http_response_status_code", "=~", "5..")

# Below one request a second, ratios of rates say more about chance than about users.
_MIN_TRAFFIC = 1.0

RULES: tuple[Rule, ...] = (
    Rule(
        "MemoryHigh",
        "warning",
        thresholds.MEMORY_HIGH,
        _judge(thresholds.MEMORY_HIGH, _LIMIT_SHARE),
        5 * MINUTE,
        "{service} uses {value} of its memory limit",
        "Log collections verbosely (gc.set_debug) and see which sites grow: heapwatch leaks PID.",
    ),
    Rule(
        "MemoryCritical",
        "critical",
        thresholds.MEMORY_CRITICAL,
        _judge(thresholds.MEMORY_CRITICAL, _LIMIT_SHARE),
        2 * MINUTE,
        "{service} uses {value} of its memory limit and may be killed",
        "Raise the limit by 30%, unless MemoryLeak fires for the service: then restart the instance.",
    ),
    Rule(
        "MemoryGrowth",
        "warning",
        thresholds.MEMORY_GROWTH,
        _judge(
            thresholds.MEMORY_GROWTH,
            Group("max", INSTANCE, Over("deriv", Series(BY_NAME["process.memory.usage"]), 30 * MINUTE)),
            _older_than(45 * MINUTE),
        ),
        15 * MINUTE,
        "{service} grows by {value}",
        "Run the leak analysis: heapwatch leaks PID.",
    ),
    Rule(
        "MemoryLeak",
        "critical",
        thresholds.LEAK_GROWTH,
        _judge(
            thresholds.LEAK_GROWTH,
            Group("max", SITE, Last(Series(BY_NAME["heapwatch.leak.growth"]))),
        ),
        0,
        "{service} leaks {value} at {code_function_name} ({code_file_path}:{code_line_number})",
        "Read the evidence: it names the type, what holds the objects, and the change to make.",
        "/#/services/{?service}/leaks/{?heapwatch_site}?version={?version}",
    ),
    Rule(
        "MemoryLimitNear",
        "warning",
        thresholds.LIMIT_NEAR,
        _judge(thresholds.LIMIT_NEAR, _last("heapwatch.memory.limit_eta", "min")),
        10 * MINUTE,
        "{service} meets its memory limit in {value}",
        "Plan a restart before that time and find what grows: heapwatch leaks PID.",
    ),
    Rule(
        "MemoryLimitImminent",
        "critical",
        thresholds.LIMIT_IMMINENT,
        _judge(thresholds.LIMIT_IMMINENT, _last("heapwatch.memory.limit_eta", "min")),
        2 * MINUTE,
        "{service} meets its memory limit in {value}",
        "Save a snapshot and restart the instance now: heapwatch snapshot PID -o heap.pb.gz.",
    ),
    Rule(
        "OutOfMemory",
        "critical",
        thresholds.OUT_OF_MEMORY,
        _judge(
            thresholds.OUT_OF_MEMORY,
            _increase(
                "heapwatch.container.memory.events", 10 * MINUTE, Matcher("heapwatch_event", "=", "oom_kill")
            ),
        ),
        0,
        "The kernel killed a process of {service} for lack of memory",
        "Replace the instance at once, then look at what it held before its end.",
    ),
    Rule(
        "DefenceExhausted",
        "critical",
        thresholds.DEFENCE_EXHAUSTED,
        _judge(thresholds.DEFENCE_EXHAUSTED, _last("heapwatch.defence.state")),
        10 * MINUTE,
        "{service} has been short of memory for ten minutes, and its defence can't mend it",
        "See why it stays so: heapwatch doctor PID. Then raise the limit, or restart the instance.",
    ),
    Rule(
        "DefenceShedding",
        "critical",
        thresholds.DEFENCE_SHEDDING,
        _judge(
            thresholds.DEFENCE_SHEDDING, _increase("heapwatch.defence.shed", 5 * MINUTE, _FOR_MEMORY, _ACTED)
        ),
        MINUTE,
        "{service} refuses requests since it is short of memory: {value} in five minutes",
        "See which requests are refused and what holds the memory: heapwatch doctor PID.",
    ),
    Rule(
        "DefenceStopping",
        "warning",
        thresholds.DEFENCE_STOPPING,
        _judge(
            thresholds.DEFENCE_STOPPING,
            _increase("heapwatch.defence.actions", 10 * MINUTE, _action("stop"), _ACTED),
        ),
        0,
        "Requests of {service} held more memory than they may, and were stopped",
        "Find the endpoint on the instance dashboard, and what it allocates: heapwatch requests PID.",
    ),
    Rule(
        "DefenceDraining",
        "warning",
        thresholds.DEFENCE_DRAINING,
        _judge(
            thresholds.DEFENCE_DRAINING,
            _increase(
                "heapwatch.defence.actions", HOUR, _action("drain"), _ACTED, function="sum", by=SERVICE
            ),
        ),
        0,
        "{value} workers of {service} took leave in an hour since they were short of memory",
        "Find what grows in them, before users notice the restarts: heapwatch leaks PID.",
    ),
    Rule(
        "MemoryFragmentation",
        "warning",
        thresholds.FRAGMENTATION,
        _judge(
            thresholds.FRAGMENTATION,
            _last("heapwatch.memory.fragmentation"),
            # A small process holds a few part-used arenas by nature.
            Comparison(_last("process.memory.usage"), ">", 256e6),
        ),
        30 * MINUTE,
        "{value} of what the allocators of {service} hold is unused",
        "Give free pages back (heapwatch trim PID), or schedule a restart in a quiet hour.",
    ),
    Rule(
        "GcPauseLong",
        "warning",
        thresholds.GC_PAUSE_LONG,
        _judge(thresholds.GC_PAUSE_LONG, _PAUSES),
        5 * MINUTE,
        "Collections of generation {cpython_gc_generation} stop {service} for {value}",
        "Tune the collector: freeze what start-up made, raise the thresholds of the generation.",
    ),
    Rule(
        "GcPauseSevere",
        "critical",
        thresholds.GC_PAUSE_SEVERE,
        _judge(thresholds.GC_PAUSE_SEVERE, _PAUSES),
        2 * MINUTE,
        "Collections of generation {cpython_gc_generation} stop {service} for {value}",
        "Large object graphs are walked: find them (heapwatch top PID) and freeze or shrink them.",
    ),
    Rule(
        "GcUncollectable",
        "warning",
        thresholds.GC_UNCOLLECTABLE,
        _judge(thresholds.GC_UNCOLLECTABLE, _increase("cpython.gc.uncollectable_objects", HOUR)),
        5 * MINUTE,
        "{service} makes objects that the garbage collector can't free",
        "Look at gc.garbage: an extension type in a cycle lacks tp_clear. Break the cycle by hand.",
    ),
    Rule(
        "AgentDropping",
        "warning",
        thresholds.AGENT_DROPPED,
        _judge(thresholds.AGENT_DROPPED, _increase("heapwatch.agent.dropped", 10 * MINUTE)),
        5 * MINUTE,
        "The agent in {service} loses deliveries",
        "Check that the service reaches the collector and that the collector accepts what it sends.",
    ),
    Rule(
        "SamplerDropping",
        "warning",
        thresholds.SAMPLER_DROPPED,
        _judge(thresholds.SAMPLER_DROPPED, _increase("heapwatch.sampler.dropped", 10 * MINUTE)),
        5 * MINUTE,
        "The sampler in {service} loses samples: its estimates are too low",
        "Raise the sampling interval (HEAPWATCH_SAMPLING_INTERVAL).",
    ),
    Rule(
        "SamplerDisplaced",
        "warning",
        thresholds.SAMPLER_DISPLACED,
        _judge(thresholds.SAMPLER_DISPLACED, _last("heapwatch.sampler.displaced")),
        5 * MINUTE,
        "Another tool displaced the sampler's hooks in {service}: its heap is no longer seen",
        "Switch off the other profiler (tracemalloc, memray, a tracer's heap profiler) or ours.",
    ),
    Rule(
        "CollectorDown",
        "critical",
        thresholds.COLLECTOR_UP,
        _judge(
            thresholds.COLLECTOR_UP,
            Group("max", ("job", "instance"), Last(Series(UP, (Matcher("job", "=", JOB),)))),
        ),
        2 * MINUTE,
        "The collector's page at {instance} can't be read: nothing is watched",
        "Start the collector again (heapwatch serve); agents keep their newest deliveries meanwhile.",
        "/readyz",
    ),
    Rule(
        "UploadFailures",
        "critical",
        thresholds.UPLOAD_FAILURES,
        _judge(
            thresholds.UPLOAD_FAILURES,
            Ratio(_requests(5 * MINUTE, *_UPLOAD, _FAILED), _requests(5 * MINUTE, *_UPLOAD)),
        ),
        5 * MINUTE,
        "{value} of uploads to {service} fail",
        "Look at the newest errors of the upload route, then at storage and memory of its instances.",
    ),
    Rule(
        "FeedSlow",
        "warning",
        thresholds.FEED_DURATION,
        _judge(
            thresholds.FEED_DURATION,
            Quantile(0.95, SERVICE, BY_NAME["http.server.request.duration"], 5 * MINUTE, _FEED),
        ),
        5 * MINUTE,
        "One feed request in twenty of {service} takes longer than {value}",
        "Compare with collection pauses and cache hits; look for a query per row in the feed.",
    ),
    Rule(
        "CacheMisses",
        "warning",
        thresholds.CACHE_HITS,
        _judge(
            thresholds.CACHE_HITS,
            Ratio(_cache_lookups(Matcher("app_cache_result", "=", "hit")), _cache_lookups()),
        ),
        15 * MINUTE,
        "Cache {app_cache_name} of {service} answers {value} of its lookups",
        "See whether it is too small, its keys never repeat, or it was emptied.",
    ),
    Rule(
        "DatabaseConnections",
        "critical",
        thresholds.DATABASE_FAILURES,
        _judge(thresholds.DATABASE_FAILURES, _increase("app.database.connection.failures", 5 * MINUTE)),
        MINUTE,
        "{service} can't get database connections",
        "Check the database, then the pool: connections that are never given back empty it.",
    ),
    Rule(
        "StorageFilling",
        "warning",
        thresholds.STORAGE_USED,
        _judge(
            thresholds.STORAGE_USED,
            _last("system.filesystem.utilization", by=(*INSTANCE, "system_filesystem_mountpoint")),
        ),
        10 * MINUTE,
        "{system_filesystem_mountpoint} of {service} is {value} full",
        "Remove expired media and old snapshots, or enlarge the volume.",
    ),
    Rule(
        "TrafficSurge",
        "info",
        thresholds.TRAFFIC_SURGE,
        _judge(
            thresholds.TRAFFIC_SURGE,
            Ratio(_requests(5 * MINUTE), _requests(HOUR)),
            Comparison(_requests(5 * MINUTE), ">", _MIN_TRAFFIC),
            _older_than(HOUR, SERVICE),
        ),
        5 * MINUTE,
        "{service} gets {value} of its usual traffic",
        "Tell a campaign from an attack by route and client; see that memory follows load and comes back.",
    ),
    Rule(
        "TrafficDrop",
        "warning",
        thresholds.TRAFFIC_DROP,
        _judge(
            thresholds.TRAFFIC_DROP,
            Ratio(_requests(5 * MINUTE), _requests(HOUR)),
            Comparison(_requests(HOUR), ">", _MIN_TRAFFIC),
            _older_than(HOUR, SERVICE),
        ),
        10 * MINUTE,
        "{service} gets {value} of its usual traffic",
        "Check what stands in front of the service, and whether its workers still answer.",
    ),
)

BY_ALERT: dict[str, Rule] = {rule.name: rule for rule in RULES}
