"""The agent emits each metric of the table whose source it is, and nothing else."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from heapwatch.allocators import Pymalloc, find_malloc
from heapwatch.cgroup import CgroupReader
from heapwatch.defence.defence import Defence
from heapwatch.defence.exits import find_exit
from heapwatch.defence.family import Family
from heapwatch.defence.headroom import Headroom
from heapwatch.defence.relief import Relief
from heapwatch.delivery import Courier, Delivery
from heapwatch.failures import Failures
from heapwatch.gcstats import GcStats
from heapwatch.gctuner.controls import Controls
from heapwatch.gctuner.model import Limits
from heapwatch.gctuner.tuner import Tuner
from heapwatch.instrument.inflight import InFlight
from heapwatch.instrument.requests import Requests
from heapwatch.leaks.census import Count
from heapwatch.memory.breakdown import divide
from heapwatch.memory.mappings import Pages
from heapwatch.memory.own import OwnMemory
from heapwatch.phases import Phase, Phases
from heapwatch.process import ProcessReader
from heapwatch.sampler import Row
from heapwatch.telemetry import Telemetry
from heapwatch_wire import otlp
from heapwatch_wire.metrics import METRICS
from heapwatch_wire.otlp import Histogram, Point
from heapwatch_wire.settings import AgentSettings

if TYPE_CHECKING:
    from conftest import ScriptedSampler

STATISTICS: dict[str, int | float] = {
    "interval": 65536,
    "interval_changes": 1,
    "samples": 10,
    "live_samples": 3,
    "own_bytes": 4096,
    "agent_bytes": 8192.0,
    "hooks_intact": 1,
    "rewraps": 2,
    "dropped_table_full": 0,
    "dropped_stacks": 2,
    "allocated_bytes": 1e6,
    "allocations": 1e3,
    "live_bytes": 5e5,
    "live_objects": 400.0,
}


@pytest.fixture
def container(tmp_path: Path) -> CgroupReader:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "self/mountinfo").write_text("41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n")
    files = {"current": "10", "max": "100", "peak": "20", "stat": "inactive_file 3", "events": "oom_kill 0"}
    files["pressure"] = "some avg10=0.50 total=2500000\nfull avg10=0.00 total=1000000"
    (tmp_path / "cg").mkdir()
    for name, text in files.items():
        (tmp_path / "cg" / f"memory.{name}").write_text(text)
    return CgroupReader(tmp_path, tmp_path)


@pytest.fixture
def telemetry(sampler: ScriptedSampler, container: CgroupReader, tmp_path: Path) -> Telemetry:
    sampler.statistics = STATISTICS
    failures = Failures()
    courier = Courier(AgentSettings(collector="http://127.0.0.1:9", queue_size=1), failures)
    for _ in range(3):
        courier.offer(Delivery("metrics", "/", "", b""))
    failures.counts["leaks"] += 1
    requests = Requests(sampler)
    request = requests.begin("GET")
    request.matched("/p/<int:id>")
    request.started("503")
    label = request.label
    request.end()
    requests.begin_task("task shop.resize").end()
    sampler.rows = [Row(1, (), False, label, "", 1.0, 100.0, 2.0, 200.0)]
    phases = Phases()
    with Phase(phases, "parse"):
        pass
    return Telemetry(
        process=ProcessReader(),
        memory=OwnMemory(find_malloc(), Pymalloc(), sampler).breakdown,
        cgroup=container,
        gc=GcStats(),
        tuner=new_tuner(sampler, failures),
        sampler=sampler,
        requests=requests,
        phases=phases,
        failures=failures,
        started=ProcessReader().start_time(),
        courier=courier,
        defence=new_defence(requests, failures, tmp_path),
        types=lambda: {"dict": Count(10.2, 640.4)},
    )


def new_defence(requests: Requests, failures: Failures, folder: Path) -> Defence:
    settings = AgentSettings(defence="observe", defence_limit=100, request_limit=100)
    defence = Defence(
        settings,
        Family(folder / "run", "shop"),
        requests,
        Headroom(lambda: None, lambda: 80, settings.defence_limit),
        Relief([], lambda: False, lambda: 80, failures),
        find_exit,
        lambda: None,
        failures,
    )
    defence.look()
    assert defence.stopping is not None
    defence.stopping.counts["GET /p/<int:id>", "observe"] += 1
    return defence


def new_tuner(sampler: ScriptedSampler, failures: Failures) -> Tuner:
    limits = Limits(uncollected=1 << 20, delay=60)
    return Tuner(
        "observe",
        limits,
        0.0,
        GcStats(),
        Controls(),
        InFlight(),
        sampler,
        lambda: "",
        failures,
        lambda: 1 << 20,
        lambda: 0,
    )


def find(points: list[Point], name: str, **attributes: str) -> Point:
    wanted = {key.replace("__", "."): value for key, value in attributes.items()}
    [point] = [p for p in points if p.metric.name == name and p.attributes == wanted]
    return point


def value(points: list[Point], name: str, **attributes: str) -> float:
    point = find(points, name, **attributes)
    assert isinstance(point, otlp.Number)
    return point.value


def test_every_agent_metric_of_the_table_is_emitted_and_no_other(telemetry: Telemetry) -> None:
    memory = telemetry.memory()
    if memory is None or memory.unknown:
        pytest.skip("this Python or C library hides its allocator's statistics")
    emitted = {point.metric.name for point in telemetry.points()}
    assert emitted == {metric.name for metric in METRICS if metric.source == "agent"}


def test_attributes_are_those_of_the_table(telemetry: Telemetry) -> None:
    for point in telemetry.points():
        assert tuple(point.attributes) == point.metric.attributes, point.metric.name


def test_instruments_are_those_of_the_table(telemetry: Telemetry) -> None:
    for point in telemetry.points():
        assert isinstance(point, Histogram) == (point.metric.instrument == "histogram")
        if isinstance(point, Histogram):
            assert len(point.counts) == len(point.metric.buckets) + 1


def test_figures_arrive_under_their_names(telemetry: Telemetry) -> None:
    points = telemetry.points()
    assert value(points, "container.memory.working_set") == 7
    assert value(points, "heapwatch.container.memory.limit") == 100
    stalled = {"heapwatch__stall__of": "container", "heapwatch__stall": "some"}
    assert value(points, "heapwatch.memory.stall.time", **stalled) == 2.5
    assert value(points, "heapwatch.heap.live") == 5e5
    assert value(points, "heapwatch.sampler.dropped", heapwatch__reason="stacks") == 2
    assert value(points, "heapwatch.agent.queue") == 1
    assert value(points, "heapwatch.agent.dropped", heapwatch__reason="queue_full") == 2
    assert value(points, "heapwatch.agent.errors", heapwatch__reason="leaks") == 1
    assert value(points, "process.memory.usage") > 1 << 20
    assert value(points, "heapwatch.type.memory", heapwatch__type="dict") == 640
    assert value(points, "heapwatch.type.objects", heapwatch__type="dict") == 10
    private, shared, rss = (
        value(points, name)
        for name in (
            "heapwatch.process.memory.private",
            "heapwatch.process.memory.shared",
            "process.memory.usage",
        )
    )
    assert private + shared == pytest.approx(rss, rel=0.1)


def test_pages_are_told_apart_by_mapping_sharing_and_state(telemetry: Telemetry) -> None:
    heap = Pages(rss=15, pss=14, shared_clean=1, shared_dirty=2, private_clean=4, private_dirty=8)
    files = Pages(rss=16, pss=16, shared_clean=16)
    points = replace(telemetry, memory=lambda: divide({"heap": heap, "files": files})).points()
    told = [p for p in points if isinstance(p, otlp.Number) and p.metric.name == "heapwatch.memory.pages"]
    assert {tuple(p.attributes.values()): p.value for p in told if p.value} == {
        ("heap", "shared", "clean"): 1,
        ("heap", "shared", "dirty"): 2,
        ("heap", "private", "clean"): 4,
        ("heap", "private", "dirty"): 8,
        ("files", "shared", "clean"): 16,
    }
    assert value(points, "heapwatch.process.memory.shared") == 19
    assert value(points, "heapwatch.process.memory.pss") == 30


def test_each_reader_has_all_of_what_happened_since_it_read_before(telemetry: Telemetry) -> None:
    def told(reader: Telemetry) -> tuple[float, float]:
        points = reader.points()
        peak = value(points, "heapwatch.phase.peak", heapwatch__phase="parse")
        return value(points, "heapwatch.gc.time.share"), peak

    page, push = replace(telemetry), replace(telemetry)
    assert told(page)[0] == 0.0
    telemetry.gc.install()
    try:
        gc.collect()
    finally:
        telemetry.gc.remove()
    with Phase(telemetry.phases, "parse"):
        bytearray(64 << 20)
    (share, peak), (other_share, other_peak) = told(page), told(push)
    assert share > 0.0
    assert other_share > 0.0
    assert peak == other_peak
    with Phase(telemetry.phases, "parse"):
        pass
    assert told(page)[1] < peak - (32 << 20)


def test_without_a_collector_there_is_no_queue(telemetry: Telemetry) -> None:
    local = replace(telemetry, courier=None)
    names = {point.metric.name for point in local.points()}
    assert "heapwatch.agent.queue" not in names
    assert "process.memory.usage" in names
