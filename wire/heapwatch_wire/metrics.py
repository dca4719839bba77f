"""Every metric that Heapwatch emits, in one table.

The OTLP push, the Prometheus page, docs/metrics.md, the dashboards and the alert rules take their names
from here. Names follow OpenTelemetry semantic conventions where they exist and `heapwatch.*` where they
don't; the Prometheus spelling comes from the standard translation (dots to underscores, unit suffix,
`_total` for counters).
"""

from __future__ import annotations

from heapwatch_wire.metric import DURATION_BUCKETS, PAUSE_BUCKETS, QUERY_BUCKETS, SIZE_BUCKETS, Metric
from heapwatch_wire.server_metrics import SERVER_METRICS

_GENERATION = ("cpython.gc.generation",)
_ENDPOINT = ("heapwatch.endpoint",)
_TYPE = ("heapwatch.type",)

METRICS: tuple[Metric, ...] = (
    # The process, from /proc.
    Metric("process.memory.usage", "gauge", "By", "Resident set size (RSS)."),
    Metric("process.memory.virtual", "gauge", "By", "Virtual memory size."),
    Metric("heapwatch.process.memory.peak", "gauge", "By", "Largest RSS so far (VmHWM)."),
    Metric(
        "heapwatch.process.memory.pss",
        "gauge",
        "By",
        "Proportional set size: shared pages divided by their users.",
    ),
    Metric("heapwatch.process.memory.private", "gauge", "By", "Private pages, clean and dirty (USS)."),
    Metric("heapwatch.process.memory.shared", "gauge", "By", "Pages shared with other processes."),
    Metric("heapwatch.process.memory.swap", "gauge", "By", "Swapped-out memory."),
    Metric("process.cpu.time", "counter", "s", "CPU time used.", ("cpu.mode",)),
    Metric("process.thread.count", "gauge", "{thread}", "Threads of the process."),
    Metric("process.unix.file_descriptor.count", "gauge", "{file_descriptor}", "Open file descriptors."),
    Metric(
        "heapwatch.process.workers",
        "gauge",
        "{process}",
        "Processes that were forked from this one and live, if it serves no requests itself; else 0.",
    ),
    Metric("process.uptime", "gauge", "s", "Time since the process started."),
    # The container, from its cgroup (v1 or v2).
    Metric("container.memory.usage", "gauge", "By", "Memory charged to the cgroup."),
    Metric(
        "container.memory.working_set",
        "gauge",
        "By",
        "Usage less inactive file pages: what the OOM killer judges.",
    ),
    Metric(
        "heapwatch.container.memory.limit",
        "gauge",
        "By",
        "Smallest memory limit of the cgroup and those above, memory.high too; absent when there is none.",
    ),
    Metric("heapwatch.container.memory.peak", "gauge", "By", "Largest usage of the cgroup so far."),
    Metric(
        "heapwatch.container.memory.events",
        "counter",
        "{event}",
        "Memory events of the cgroup; limits of cgroups above it that were met are counted, too.",
        ("heapwatch.event",),
    ),
    Metric(
        "heapwatch.memory.stall.time",
        "counter",
        "s",
        "Time in which some tasks of the container or the machine, or all (full), waited for memory (PSI).",
        ("heapwatch.stall.of", "heapwatch.stall"),
    ),
    # The collector of garbage.
    Metric("cpython.gc.collections", "counter", "{collection}", "Collections of a generation.", _GENERATION),
    Metric(
        "cpython.gc.collected_objects",
        "counter",
        "{object}",
        "Objects freed by a generation's collections.",
        _GENERATION,
    ),
    Metric(
        "cpython.gc.uncollectable_objects", "counter", "{object}", "Objects found uncollectable.", _GENERATION
    ),
    Metric(
        "heapwatch.gc.pause", "histogram", "s", "Pause of a garbage collection.", _GENERATION, PAUSE_BUCKETS
    ),
    Metric(
        "heapwatch.gc.request.pause",
        "histogram",
        "s",
        "Pause of a garbage collection by whether requests ran when it began (inside) or not (outside).",
        ("heapwatch.gc.place",),
        PAUSE_BUCKETS,
    ),
    Metric(
        "heapwatch.gc.time.share", "gauge", "1", "Share of the time that garbage collections took lately."
    ),
    Metric(
        "heapwatch.gc.threshold",
        "gauge",
        "{object}",
        "Threshold of a generation (gc.get_threshold).",
        _GENERATION,
    ),
    Metric(
        "heapwatch.gc.frozen",
        "gauge",
        "{object}",
        "Objects that heapwatch.freeze(), the tuner or heapwatch gc took out of the collector's sight.",
    ),
    Metric(
        "heapwatch.gc.tuner.actions",
        "counter",
        "{action}",
        "What the GC tuner did (act) or would have done (observe).",
        ("heapwatch.action", "heapwatch.gc.mode"),
    ),
    # Defence against running out of memory.
    Metric(
        "heapwatch.defence.state",
        "gauge",
        "{state}",
        "State of the process's defence: 0 ok, 1 soft, 2 shed, 3 drain.",
    ),
    Metric(
        "heapwatch.defence.used",
        "gauge",
        "1",
        "Memory in use over the limit that is nearer, the container's or the process's own.",
    ),
    Metric(
        "heapwatch.defence.actions",
        "counter",
        "{action}",
        "What the defence did (act) or would have done (observe).",
        ("heapwatch.action", "heapwatch.defence.mode"),
    ),
    Metric(
        "heapwatch.defence.shed",
        "counter",
        "{request}",
        "Requests that were refused (act) or would have been (observe), of optional routes or any.",
        ("heapwatch.reason", "heapwatch.defence.mode"),
    ),
    Metric(
        "heapwatch.defence.stopped",
        "counter",
        "{request}",
        "Requests that were stopped (act) or would have been (observe) because they held too much memory.",
        ("heapwatch.endpoint", "heapwatch.defence.mode"),
    ),
    # The allocators.
    Metric(
        "heapwatch.heap.live",
        "gauge",
        "By",
        "Estimated live bytes of the Python heap since the agent's start.",
    ),
    Metric(
        "heapwatch.heap.live_objects",
        "gauge",
        "{object}",
        "Estimated live blocks of the Python heap since the agent's start.",
    ),
    Metric("heapwatch.heap.allocated", "counter", "By", "Estimated bytes allocated since the agent's start."),
    Metric(
        "heapwatch.heap.allocations",
        "counter",
        "{object}",
        "Estimated blocks allocated since the agent's start.",
    ),
    Metric("heapwatch.pymalloc.arenas", "gauge", "By", "Memory held by pymalloc arenas."),
    Metric("heapwatch.pymalloc.used", "gauge", "By", "Memory of pymalloc blocks in use."),
    Metric("heapwatch.malloc.arenas", "gauge", "By", "Memory held by the C library's allocator."),
    Metric("heapwatch.malloc.used", "gauge", "By", "Memory of the C library's blocks in use."),
    Metric("heapwatch.memory.fragmentation", "gauge", "1", "Held and unused over held, of both allocators."),
    Metric(
        "heapwatch.memory.part",
        "gauge",
        "By",
        "Resident memory by what it is used for; the parts sum to RSS, one of them is unexplained.",
        ("heapwatch.part",),
    ),
    Metric(
        "heapwatch.memory.pages",
        "gauge",
        "By",
        "Resident pages by kind of mapping, shared with others or private, clean or dirty (written).",
        ("heapwatch.mapping", "heapwatch.sharing", "heapwatch.state"),
    ),
    Metric("heapwatch.memory.trimmable", "gauge", "By", "What `heapwatch trim` would give back."),
    Metric(
        "heapwatch.type.memory",
        "gauge",
        "By",
        "Estimated bytes of the objects of a type that the garbage collector tracks, of the largest types.",
        _TYPE,
    ),
    Metric(
        "heapwatch.type.objects",
        "gauge",
        "{object}",
        "Estimated objects of a type that the garbage collector tracks, of the largest types.",
        _TYPE,
    ),
    # Phases that the service names.
    Metric(
        "heapwatch.phase.duration",
        "histogram",
        "s",
        "Duration of a phase.",
        ("heapwatch.phase",),
        DURATION_BUCKETS,
    ),
    Metric(
        "heapwatch.phase.peak",
        "gauge",
        "By",
        "Largest RSS inside a phase, of its runs since the last delivery.",
        ("heapwatch.phase",),
    ),
    Metric(
        "heapwatch.phase.growth",
        "gauge",
        "By",
        "RSS at the end of a phase less RSS at its beginning, last run.",
        ("heapwatch.phase",),
    ),
    # The agent about itself.
    Metric("heapwatch.sampler.interval", "gauge", "By", "Mean bytes between two samples."),
    Metric(
        "heapwatch.sampler.interval_changes",
        "counter",
        "{change}",
        "Times that the interval was changed to hold the sampling budget.",
    ),
    Metric("heapwatch.sampler.samples", "counter", "{sample}", "Samples taken."),
    Metric("heapwatch.sampler.live_samples", "gauge", "{sample}", "Sampled blocks that live."),
    Metric("heapwatch.sampler.memory", "gauge", "By", "Memory of the sampler's own tables."),
    Metric("heapwatch.sampler.dropped", "counter", "{sample}", "Samples lost.", ("heapwatch.reason",)),
    Metric(
        "heapwatch.sampler.displaced",
        "gauge",
        "{sampler}",
        "1 when another tool has displaced the sampler's hooks, else 0.",
    ),
    Metric(
        "heapwatch.sampler.displacements",
        "counter",
        "{displacement}",
        "Times that the sampler put hooks back that another tool displaced; what lived then is lost.",
    ),
    Metric("heapwatch.agent.dropped", "counter", "{delivery}", "Deliveries lost.", ("heapwatch.reason",)),
    Metric(
        "heapwatch.agent.errors",
        "counter",
        "{error}",
        "Failures of the agent that the service did not notice.",
        ("heapwatch.reason",),
    ),
    Metric(
        "heapwatch.agent.memory",
        "gauge",
        "By",
        "Memory of the agent beside the sampler's: modules that only it uses, objects by estimate.",
    ),
    Metric("heapwatch.agent.queue", "gauge", "{delivery}", "Deliveries waiting."),
    # Requests.
    Metric(
        "http.server.request.duration",
        "histogram",
        "s",
        "Duration of HTTP server requests.",
        ("http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"),
        DURATION_BUCKETS,
    ),
    Metric(
        "heapwatch.task.duration",
        "histogram",
        "s",
        "Duration of tasks of a queue and of tagged jobs, by name and outcome.",
        ("heapwatch.endpoint", "heapwatch.outcome"),
        DURATION_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.allocated",
        "histogram",
        "By",
        "Estimated bytes that a request, task or job allocated.",
        _ENDPOINT,
        SIZE_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.allocations",
        "counter",
        "{allocation}",
        "Estimated blocks that requests allocated.",
        _ENDPOINT,
    ),
    Metric(
        "heapwatch.endpoint.retained",
        "counter",
        "By",
        "Estimated bytes that requests allocated and that lived when they ended.",
        _ENDPOINT,
    ),
    Metric(
        "heapwatch.endpoint.peak",
        "histogram",
        "By",
        "Estimated bytes that lived at once of what a request allocated.",
        _ENDPOINT,
        SIZE_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.live",
        "gauge",
        "By",
        "Estimated bytes that live now, by the endpoint that allocated them.",
        _ENDPOINT,
    ),
    Metric(
        "heapwatch.endpoint.gc.pause",
        "histogram",
        "s",
        "Time that garbage collections stopped a request.",
        _ENDPOINT,
        PAUSE_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.cpu",
        "histogram",
        "s",
        "CPU time of requests that were chosen for it by chance; absent where greenlets share a thread.",
        _ENDPOINT,
        PAUSE_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.queries",
        "histogram",
        "{query}",
        "Statements that a request sent to databases.",
        _ENDPOINT,
        QUERY_BUCKETS,
    ),
    Metric(
        "heapwatch.endpoint.queries.repeated",
        "counter",
        "{query}",
        "Statements beyond the first of those that one request executed five times or more (N+1).",
        _ENDPOINT,
    ),
    Metric(
        "heapwatch.endpoint.queries.time",
        "counter",
        "s",
        "Time that requests waited for databases.",
        _ENDPOINT,
    ),
    Metric(
        "heapwatch.endpoint.templates.time",
        "counter",
        "s",
        "Time that requests rendered templates.",
        _ENDPOINT,
    ),
    *SERVER_METRICS,
)

BY_NAME: dict[str, Metric] = {m.name: m for m in METRICS}

RESOURCE_ATTRIBUTES: tuple[str, ...] = (
    "service.name",
    "service.version",
    "service.instance.id",
    "process.pid",
    "host.name",
    "process.runtime.name",
    "process.runtime.version",
)
