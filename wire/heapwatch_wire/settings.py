"""The settings of every room: name, type, unit, bounds, default and help, in one place.

Environment variable: HEAPWATCH_ and the name in capitals. File: `heapwatch.toml`, a section per room.
docs/configuration.md is generated from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_wire.config import count, in_bytes, in_seconds, ratio, setting

MODES = ("off", "observe", "act")


@dataclass(frozen=True)
class AgentSettings:
    """Section `[agent]`: the part that runs inside your process."""

    enabled: bool = setting(True, "Start the agent; off leaves the process untouched.")
    service: str = setting("", "Name of the service, as on dashboards (default: the program's name).")
    service_version: str = setting("", "Version of the service; verdicts are made per version.")
    collector: str = setting(
        "",
        "Address of the collector, such as http://127.0.0.1:4040; empty keeps everything local. With https"
        " its certificate's authority must be one that the system knows, or in the file SSL_CERT_FILE names.",
    )
    token: str = setting("", "Bearer token sent to the collector.")
    sampling_interval: int = in_bytes(
        65536,
        "Mean bytes allocated between two samples; the least, when sampling_budget widens it.",
        1,
        64 << 20,
    )
    sampling_budget: float = ratio(
        0.01,
        "Share of one processor that samples may take; the interval is doubled, up to 64 MiB, while they take"
        " more. 0 keeps the interval fixed.",
    )
    max_depth: int = count(128, "Frames kept of a stack; longer ones are marked truncated.", 1, 1024)
    push_interval: float = in_seconds(10.0, "Time between two deliveries to the collector.", 0.5, 3600)
    push_timeout: float = in_seconds(5.0, "Limit for one delivery.", 0.1, 60)
    queue_size: int = count(
        8, "Deliveries kept while the collector can't be reached; the oldest is dropped first.", 1, 1000
    )
    holders: bool = setting(True, "Search what holds the objects of a growing site.")
    holders_budget: float = in_seconds(
        0.05, "Time that one slice of the holder search may hold the interpreter.", 0.001, 1
    )
    census: float = in_seconds(
        60.0, "Time between two counts of objects by type for the collector; 0 counts none.", 0, 86400
    )
    gc_tuner: str = setting(
        "observe",
        "Garbage collector: off, observe (measure and say what would be done), or act (tune it).",
        choices=MODES,
    )
    gc_uncollected: int = in_bytes(
        16 << 20,
        "Memory that garbage may take, by estimate, before it is collected even inside a request; never more"
        " than 2% of RSS in each of the young and the old generations.",
        1 << 20,
        1 << 40,
    )
    gc_delay: float = in_seconds(
        60.0, "Longest time between two full collections that the tuner plans for.", 1, 3600
    )
    gc_warmup: float = in_seconds(
        30.0,
        "Start of a process's life in which the tuner changes nothing; what lives at its end is frozen.",
        0,
        86400,
    )
    instrument: bool = setting(
        True,
        "Measure requests, tasks, statements and templates of Flask, Django, Starlette, FastAPI, Celery,"
        " SQLAlchemy and Jinja without a code change.",
    )
    request_cpu: float = ratio(
        1 / 16,
        "Share of requests whose CPU time is measured, by chance: that takes two system calls of each.",
    )
    bridges: str = setting(
        "auto",
        "Show the agent's metrics on the service's own Prometheus page and through its OpenTelemetry"
        " MeterProvider, where it has them: on, off, or auto (where there is no collector).",
        choices=("auto", "on", "off"),
    )
    defence: str = setting(
        "off",
        "Defend the process against running out of memory: off, observe (say what would be done), or act.",
        choices=MODES,
    )
    defence_limit: int = in_bytes(
        0, "Memory that the process may take; 0 means that only the container's limit bounds it."
    )
    defence_soft: float = ratio(
        0.75,
        "Part of the limit from which caches are dropped, garbage is collected and free memory given back.",
        0.1,
    )
    defence_shed: float = ratio(
        0.85, "Part of the limit from which requests of optional routes are answered with 503.", 0.1
    )
    defence_drain: float = ratio(
        0.9,
        "Part of the limit from which a worker takes leave, one of a service at a time; half way from there"
        " to the limit all requests are answered with 503.",
        0.1,
    )
    defence_grace: float = in_seconds(
        5.0,
        "Time between the word that a worker takes leave and its end, for balancers to hear it; the worker"
        " serves meanwhile.",
        0,
        600,
    )
    defence_optional: str = setting(
        "",
        "Paths of requests that the service can do without, such as /recommendations/* /search, apart by"
        " spaces; they are refused first.",
    )
    request_limit: int = in_bytes(
        0,
        "Memory, by estimate, that one request may hold of what it allocated; it is stopped above. 0 means"
        " no limit. Needs defence.",
    )
    request_limits: str = setting(
        "",
        "Limits of single endpoints, such as GET /export=2GiB POST /import/*=512MiB, apart by commas; the"
        " first that fits counts, 0 means no limit.",
    )
    request_limit_status: str = setting(
        "503", "Status that a stopped request is answered with.", choices=("503", "507")
    )
    agent_check: str = setting(
        "",
        "Address HOST:PORT on which HAProxy's agent-check is answered from the headroom; processes with the"
        " same address are one server to it. Needs defence.",
    )
    runtime_dir: str = setting(
        "", "Folder of the control sockets (default: $XDG_RUNTIME_DIR/heapwatch, else /tmp/heapwatch-UID)."
    )


@dataclass(frozen=True)
class CollectorSettings:
    """Section `[collector]`: `heapwatch serve`."""

    listen: str = setting("127.0.0.1:4040", "Address to listen on, HOST:PORT; port 0 takes a free one.")
    data: str = setting(
        "heapwatch-data", "Folder of the embedded store, or the http(s) address of a ClickHouse server."
    )
    token: str = setting("", "Bearer token that clients must send; required when not listening on loopback.")
    max_body: int = in_bytes(
        16 << 20, "Largest request body accepted, before and after decompression.", 1 << 10, 1 << 30
    )
    retention: float = in_seconds(
        14 * 86400.0, "Age at which profiles and metrics are deleted.", 3600, 10 * 365 * 86400
    )
    commit_interval: float = in_seconds(
        0.2, "Longest time that a received batch waits for its group commit.", 0.01, 5
    )
    pending_limit: int = in_bytes(
        64 << 20, "Bytes waiting for commit above which senders get 429.", 1 << 20, 4 << 30
    )
    threads: int = count(32, "Requests served at once.", 2, 128)


@dataclass(frozen=True)
class AnalyzerSettings:
    """Section `[analyzer]`: `heapwatch analyze`."""

    collector: str = setting("http://127.0.0.1:4040", "Address of the collector that is read and written.")
    token: str = setting("", "Bearer token sent to the collector.")
    analyze_interval: float = in_seconds(15.0, "Time between two analyses.", 1, 86400)
    window: float = in_seconds(3600.0, "How far back an analysis looks.", 60, 30 * 86400)
    history: float = in_seconds(
        4 * 86400.0,
        "How far back leaks are looked for that grow too slowly for the window; 0 turns it off.",
        0,
        30 * 86400,
    )
    history_interval: float = in_seconds(1800.0, "Time between two looks that far back.", 60, 86400)
    warmup: float = in_seconds(30.0, "Start of a process's life that is not judged.", 0, 86400)
    memory_limit: int = in_bytes(
        0, "Memory limit of an instance when it reports none itself; 0 means unknown."
    )


@dataclass(frozen=True)
class AlertSettings:
    """Section `[alerts]`: `heapwatch alerts run`."""

    collector: str = setting("http://127.0.0.1:4040", "Address of the collector whose data are judged.")
    token: str = setting("", "Bearer token sent to the collector.")
    evaluation_interval: float = in_seconds(15.0, "Time between two evaluations.", 1, 3600)
    webhook: str = setting("", "Address that gets alerts as JSON in Alertmanager's webhook format.")
    alertmanager: str = setting("", "Address of an Alertmanager that gets alerts through its API v2.")
    repeat_interval: float = in_seconds(
        4 * 3600.0, "Time after which the webhook gets a still firing alert again.", 60, 30 * 86400
    )
    runbooks: str = setting(
        "docs/runbooks", "Folder or address of the runbook pages, as alerts link to them."
    )
    evidence: str = setting(
        "", "Address of the collector as people reach it, for links in alerts (default: collector's)."
    )


SECTIONS: dict[str, type] = {
    "agent": AgentSettings,
    "collector": CollectorSettings,
    "analyzer": AnalyzerSettings,
    "alerts": AlertSettings,
}
