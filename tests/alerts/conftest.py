"""Worlds of series over time, for the rules to judge: one that must fire and one that must not, per rule."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from heapwatch_alerts.watch import Watch
from heapwatch_wire.metric import label
from heapwatch_wire.metrics import BY_NAME

INSTANCE = {"service": "shop", "version": "1.4", "instance": "web-1-9c2"}
START = 1_700_000_000.0


@dataclass(frozen=True)
class Line:
    """A series: its page name, labels, and value at a time (None: not on the page)."""

    name: str
    labels: Mapping[str, str]
    at: Callable[[float], float | None]


World = tuple[Line, ...]


@dataclass(frozen=True)
class Case:
    """What one rule must and must not fire on, over `minutes`."""

    firing: World
    quiet: World
    minutes: int


@dataclass
class Story:
    """Runs a Watch on a simulated clock and remembers when what happened, in minutes."""

    world: World
    senders: list[Any] = field(default_factory=list)
    step: float = 15.0
    events: list[tuple[float, str, str]] = field(default_factory=list)
    now: float = 0.0
    fault: Callable[[float], None] = lambda now: None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.page, "127.0.0.1:4040", self.senders, **self.options)

    def page(self) -> list[tuple[str, Mapping[str, str], float]]:
        self.fault(self.now)
        lines = ((line, line.at(self.now)) for line in self.world)
        return [(line.name, line.labels, value) for line, value in lines if value is not None]

    def run(self, minutes: float) -> Story:
        """Go on until `minutes` after the start."""
        while self.now <= minutes * 60:
            change = self.watch.step(START + self.now)
            self.events += [(self.now / 60, "firing", alert.rule.name) for alert in change.fired]
            self.events += [(self.now / 60, "resolved", alert.rule.name) for alert in change.resolved]
            self.now += self.step
        return self

    def times(self, event: str, rule: str) -> list[float]:
        return [minute for minute, what, name in self.events if (what, name) == (event, rule)]


def gauge(name: str, at: Callable[[float], float | None] | float, **labels: str) -> Line:
    value = at if callable(at) else lambda t: at
    return Line(BY_NAME[name].prometheus, {**INSTANCE, **labels}, value)


def counter(name: str, per_second: float, since: float = 0.0, **labels: str) -> Line:
    """A counter that stands at 0 until `since` and then rises."""
    return gauge(name, lambda t: math.floor(max(0.0, t - since) * per_second), **labels)


def steps(name: str, at: float, **labels: str) -> Line:
    """A counter that goes from 0 to 1 at `at` seconds and stays."""
    return gauge(name, lambda t: 1.0 if t >= at else 0.0, **labels)


def observations(name: str, value: float, rate: Callable[[float], float], **labels: str) -> World:
    """A histogram whose observations are all `value`; `rate(t)` is how many there were until t."""
    metric = BY_NAME[name]
    bounds = [*metric.buckets, math.inf]

    def bucket(bound: float) -> Line:
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        count = rate if value <= bound else steady(0)
        return Line(metric.prometheus + "_bucket", {**INSTANCE, **labels, "le": le}, count)

    total = Line(metric.prometheus + "_count", {**INSTANCE, **labels}, rate)
    amount = Line(metric.prometheus + "_sum", {**INSTANCE, **labels}, lambda t: rate(t) * value)
    return (*(bucket(bound) for bound in bounds), total, amount)


def requests(seconds: float, rate: Callable[[float], float], **attributes: str) -> World:
    route = {"http_request_method": "GET", "http_route": "/feed", "http_response_status_code": "200"}
    return observations("http.server.request.duration", seconds, rate, **{**route, **attributes})


def of_limit(share: float) -> World:
    return (
        gauge("container.memory.working_set", share * 1e9),
        gauge("heapwatch.container.memory.limit", 1e9),
    )


def steady(per_second: float) -> Callable[[float], float]:
    return lambda t: t * per_second


def surge(before: float, after: float, at: float) -> Callable[[float], float]:
    return lambda t: before * min(t, at) + after * max(0.0, t - at)


_OLD = gauge("process.uptime", lambda t: 7200 + t)
_GENERATION = label("cpython.gc.generation")
_UPLOAD = {"http_request_method": "POST", "http_route": "/new"}
_ACT = {"heapwatch_defence_mode": "act"}
_LEAK = {
    "heapwatch_site": "5f0c",
    "code_function_name": "Feed.load",
    "code_file_path": "shop/feed.py",
    "code_line_number": "17",
}


def _growing(per_hour: float) -> Line:
    return gauge("process.memory.usage", lambda t: 400e6 + per_hour * t / 3600)


def _pauses(seconds: float) -> World:
    quick = observations("heapwatch.gc.pause", 0.0002, steady(5), **{_GENERATION: "0"})
    return (*quick, *observations("heapwatch.gc.pause", seconds, steady(0.05), **{_GENERATION: "2"}))


def _uploads(failing: float) -> World:
    served = requests(0.1, steady(2 * (1 - failing)), **_UPLOAD, http_response_status_code="302")
    return (*served, *requests(0.1, steady(2 * failing), **_UPLOAD, http_response_status_code="500"))


def _cache(hits: float) -> World:
    name = {"app_cache_name": "profiles"}
    return (
        counter("app.cache.lookups", 10 * hits, **name, app_cache_result="hit"),
        counter("app.cache.lookups", 10 * (1 - hits), **name, app_cache_result="miss"),
    )


def _shed(reason: str, mode: str) -> World:
    labels = {"heapwatch_reason": reason, "heapwatch_defence_mode": mode}
    return (counter("heapwatch.defence.shed", 0.5, since=70, **labels),)


def _drained(workers: int) -> World:
    """One after the other, each a process of its own."""
    labels = {**_ACT, "heapwatch_action": "drain"}
    return tuple(
        steps("heapwatch.defence.actions", 180 * number + 50, **labels, instance=f"web-{number}")
        for number in range(1, workers + 1)
    )


def _up(value: float) -> World:
    return (Line("up", {"job": "heapwatch", "instance": "127.0.0.1:4040"}, lambda t: value),)


CASES: dict[str, Case] = {
    "MemoryHigh": Case(of_limit(0.72), of_limit(0.69), 15),
    "MemoryCritical": Case(of_limit(0.86), of_limit(0.84), 10),
    "MemoryGrowth": Case((_growing(110e6), _OLD), (_growing(90e6), _OLD), 50),
    "MemoryLeak": Case(
        (gauge("heapwatch.leak.growth", lambda t: 2e4 if t > 120 else None, **_LEAK),),
        (gauge("heapwatch.leak.live", 1e6, **_LEAK),),
        10,
    ),
    "MemoryLimitNear": Case(
        (gauge("heapwatch.memory.limit_eta", lambda t: 20000 - t),),
        (gauge("heapwatch.memory.limit_eta", 30000.0),),
        20,
    ),
    "MemoryLimitImminent": Case(
        (gauge("heapwatch.memory.limit_eta", lambda t: 3400 - t),),
        (gauge("heapwatch.memory.limit_eta", 3700.0),),
        10,
    ),
    "OutOfMemory": Case(
        (steps("heapwatch.container.memory.events", 130, heapwatch_event="oom_kill"),),
        (steps("heapwatch.container.memory.events", 130, heapwatch_event="high"),),
        20,
    ),
    "DefenceExhausted": Case(
        (gauge("heapwatch.defence.state", 2.0),), (gauge("heapwatch.defence.state", 1.0),), 15
    ),
    "DefenceShedding": Case(_shed("all", "act"), _shed("all", "observe"), 10),
    "DefenceStopping": Case(
        (steps("heapwatch.defence.actions", 130, **_ACT, heapwatch_action="stop"),),
        (steps("heapwatch.defence.actions", 130, **_ACT, heapwatch_action="relieve"),),
        15,
    ),
    "DefenceDraining": Case(_drained(workers=8), _drained(workers=4), 40),
    "MemoryFragmentation": Case(
        (gauge("heapwatch.memory.fragmentation", 0.3), gauge("process.memory.usage", 9e8)),
        (gauge("heapwatch.memory.fragmentation", 0.3), gauge("process.memory.usage", 6e7)),
        40,
    ),
    "GcPauseLong": Case(_pauses(0.06), _pauses(0.02), 15),
    "GcPauseSevere": Case(_pauses(0.2), _pauses(0.06), 15),
    "GcUncollectable": Case(
        (counter("cpython.gc.uncollectable_objects", 0.2, since=70, **{_GENERATION: "2"}),),
        (counter("cpython.gc.uncollectable_objects", 0.0, **{_GENERATION: "2"}),),
        15,
    ),
    "AgentDropping": Case(
        (counter("heapwatch.agent.dropped", 0.1, heapwatch_reason="queue full"),),
        (gauge("heapwatch.agent.dropped", 7.0, heapwatch_reason="queue full"),),
        15,
    ),
    "SamplerDropping": Case(
        (counter("heapwatch.sampler.dropped", 3, heapwatch_reason="table full"),),
        (gauge("heapwatch.sampler.dropped", 7.0, heapwatch_reason="table full"),),
        15,
    ),
    "SamplerDisplaced": Case(
        (gauge("heapwatch.sampler.displaced", 1.0),), (gauge("heapwatch.sampler.displaced", 0.0),), 15
    ),
    "CollectorDown": Case(_up(0.0), _up(1.0), 10),
    "UploadFailures": Case(_uploads(0.02), _uploads(0.005), 15),
    "FeedSlow": Case(requests(0.6, steady(4)), requests(0.6, steady(4), http_route="/settings"), 15),
    "CacheMisses": Case(_cache(0.6), _cache(0.9), 25),
    "DatabaseConnections": Case(
        (counter("app.database.connection.failures", 0.1),),
        (gauge("app.database.connection.failures", 3.0),),
        10,
    ),
    "StorageFilling": Case(
        (gauge("system.filesystem.utilization", 0.9, system_filesystem_mountpoint="/media"),),
        (gauge("system.filesystem.utilization", 0.8, system_filesystem_mountpoint="/media"),),
        20,
    ),
    "TrafficSurge": Case(
        (*requests(0.02, surge(2, 20, 3900)), _OLD), (*requests(0.02, surge(0.01, 0.1, 3900)), _OLD), 80
    ),
    "TrafficDrop": Case((*requests(0.02, surge(5, 0.1, 3900)), _OLD), (*requests(0.02, steady(5)), _OLD), 90),
}


# CollectorDown is about the reading itself, which a watch makes: it has stories of its own.
@pytest.fixture(params=sorted(CASES.keys() - {"CollectorDown"}))
def case(request: pytest.FixtureRequest) -> tuple[str, Case]:
    return request.param, CASES[request.param]


@pytest.fixture
def cases() -> dict[str, Case]:
    return CASES


@pytest.fixture
def story() -> Callable[..., Story]:
    return lambda world, **more: Story(tuple(world), **more)


@pytest.fixture
def line() -> type[Line]:
    return Line


class Receiver(ThreadingHTTPServer):
    """Takes POSTed JSON; answers with `status`. Serves `page` to GETs of /metrics."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[tuple[str, Any]] = []
        self.status = 200
        self.page = ""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """Alerts of that status in all notifications so far."""
        return [a for _, body in list(self.posts) for a in body["alerts"] if a["status"] == status]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        body = self.server.page.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.posts.append((self.path, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def text_of() -> Callable[[World, float], str]:
    """text_of(world, time): the page, in Prometheus' text format."""

    def page(world: World, now: float) -> str:
        shown = ((line, line.at(now)) for line in world)
        return "".join(f"{selector(line)} {value!r}\n" for line, value in shown if value is not None)

    return page


def selector(line: Line) -> str:
    labels = ",".join(f'{k}="{v}"' for k, v in line.labels.items())
    return f"{line.name}{{{labels}}}"


@pytest.fixture
def clock() -> Callable[[], float]:
    """The real time: an Alertmanager has no other."""
    return time.time
