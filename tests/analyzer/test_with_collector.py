"""The command against a real collector that was fed as agents feed it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heapwatch_wire import otlp, pprof, push
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Holder, from_json, to_json
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.sites import Frame

pytestmark = pytest.mark.integration

SECONDS = 240.0
PUSH = 10.0
MIB = float(1 << 20)
DAY = 86400.0


def _program(module: str) -> list[str]:
    code = (
        f"import argparse, sys; from {module} import command; p = argparse.ArgumentParser(); "
        "command.configure(p); sys.exit(command.run(p.parse_args()))"
    )
    return [sys.executable, "-c", code]


def _post(base: str, path: str, body: bytes, kind: str, **headers: str) -> None:
    request = urllib.request.Request(base + path, body, {"Content-Type": kind, **headers})
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert answer.status == 200


def _get(base: str, path: str) -> Any:
    with urllib.request.urlopen(base + path, timeout=300) as answer:
        return json.load(answer)


@pytest.fixture
def collector(spawn: Callable[..., Any], tmp_path: Path) -> str:
    child = spawn(
        *_program("heapwatch_collector"),
        *("--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--commit-interval", "0.01"),
    )
    line: str = child.wait_line("listening on ")
    return line.split("listening on ")[1].split()[0]


class Feeder:
    """Sends a simulated fleet's past to a collector: profiles, metrics, and evidence."""

    def __init__(self, base: str, simulation: Any) -> None:
        self.base, self.simulation = base, simulation

    def feed(self, service: str, fleet: Any) -> None:
        seen = fleet.observe()
        shift = time.time() - self.simulation.NOW
        # A delivery is answered after its commit; eight at once share commits.
        with ThreadPoolExecutor(8) as pool:
            sent = []
            for number, instance in enumerate(seen.instances):
                for index, at in enumerate(seen.gauge("process.memory.usage", instance.id).times):
                    where = (service, seen, instance)
                    sent.append(pool.submit(self._profile, *where, index, at + shift))
                    sent.append(pool.submit(self._metrics, *where, number, index, at + shift))
        for delivery in sent:
            delivery.result()

    def evidence(self, service: str, report: Any) -> None:
        document = {**to_json(report.evidence), "service": service, "time": time.time()}
        body = json.dumps({"instance": report.instance, "documents": [document]}).encode()
        _post(self.base, "/api/v1/evidence", body, "application/json")

    def _profile(self, service: str, seen: Any, instance: Any, index: int, at: float) -> None:
        samples = [
            pprof.Sample(
                tuple(Frame(c.function, c.file, c.line) for c in s.site.stack),
                (
                    0,
                    0,
                    round(s.tracks[instance.id].objects[index]),
                    round(s.tracks[instance.id].bytes[index]),
                ),
                (("endpoint", s.endpoints[0].name),) if s.endpoints else (),
            )
            for s in seen.sites
        ]
        profile = pprof.encode(pprof.Profile(samples, period=int(seen.interval), time_nanos=int(at * 1e9)))
        labels = {
            "__name__": "memory", "service_name": service, "service_version": "1.0",
            "instance": instance.id, "pid": str(instance.pid), "host": instance.host,
        }  # fmt: skip
        body = gzip.compress(push.encode(labels, profile), 1)
        _post(self.base, push.PATH, body, push.CONTENT_TYPE, **{"Content-Encoding": "gzip"})

    def _metrics(self, service: str, seen: Any, instance: Any, number: int, index: int, at: float) -> None:
        resource = {
            "service.name": service, "service.version": "1.0", "service.instance.id": instance.id,
            "process.pid": instance.pid, "host.name": instance.host,
        }  # fmt: skip
        duration = BY_NAME["http.server.request.duration"]
        rss = float(seen.gauge("process.memory.usage", instance.id).values[index])
        served = seen.histograms[number]
        count = int(served.counts[index])
        points = [
            otlp.Number(BY_NAME["process.memory.usage"], rss),
            otlp.Number(BY_NAME["heapwatch.container.memory.limit"], 512 * self.simulation.MIB),
            otlp.Histogram(
                duration, (0, count, *[0] * (len(duration.buckets) - 1)), float(served.sums[index])
            ),
        ]
        body = gzip.compress(otlp.encode(resource, points, at - 60, at), 1)
        _post(self.base, "/v1/metrics", body, "application/x-protobuf", **{"Content-Encoding": "gzip"})


def _analyze(base: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [*_program("heapwatch_analyzer"), "--collector", base, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_leak_is_told_from_health_and_written_back(collector: str, simulation: Any) -> None:
    feeder = Feeder(collector, simulation)
    endpoint = simulation.share("GET /p/<int:id>", 1.0)
    leak = simulation.Site(
        "remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000, line=77, endpoints=(endpoint,)
    )
    feeder.feed("healthy", simulation.Fleet(simulation.healthy(3, 8), SECONDS, 1, push=PUSH))
    leaking = simulation.Fleet([*simulation.healthy(4, 8), leak], SECONDS, push=PUSH, seed=2)
    feeder.feed("leaking", leaking)
    holder = Holder("shop.views.SEEN['k']", "module", ("dict", "Page"), 0.9)
    feeder.evidence("leaking", simulation.report(leak.site, leaking.names()[0], "shop.views.Page", holder))

    done = _analyze(collector, "--once", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    printed = {d["service"]: from_json(Analysis, d) for d in map(json.loads, done.stdout.splitlines())}
    assert printed["healthy"].status == "no leak"
    assert printed["leaking"].status == "leak"
    (verdict,) = [v for v in printed["leaking"].verdicts if v.verdict == "leak"]
    assert (verdict.site.function, verdict.site.line, verdict.type) == ("remember", 77, "shop.views.Page")
    assert verdict.holders == (holder,)
    assert verdict.endpoints[0].name == "GET /p/<int:id>"
    assert verdict.growth.low < 2 * 2 * simulation.MIB / 60 < verdict.growth.high
    assert verdict.forecast is not None
    assert verdict.recommendation is not None
    assert "shop.views.SEEN" in verdict.recommendation.title
    assert printed["leaking"].scaling is not None
    assert printed["leaking"].scaling.action == "restart"

    (stored,) = _get(collector, "/api/v1/analyses?service=leaking")["analyses"]
    assert from_json(Analysis, stored) == printed["leaking"]
    (leak_row,) = _get(collector, "/api/v1/leaks?service=leaking")["leaks"]
    assert leak_row["site"]["function"] == "remember"

    text = _analyze(collector, "--once", "--service", "leaking").stdout
    assert "LEAK of shop.views.Page at remember" in text
    assert "held by      shop.views.SEEN['k']" in text
    assert len(text.splitlines()) < 45


def test_loop_goes_on_until_it_is_stopped(
    collector: str, simulation: Any, spawn: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    Feeder(collector, simulation).feed("small", simulation.Fleet(simulation.healthy(3, 2), 60, 1, push=PUSH))
    child = spawn(*_program("heapwatch_analyzer"), "--collector", collector, "--analyze-interval", "1")
    child.wait_line("small 1.0: learning")
    wait_until(lambda: sum("learning" in line for line in child.lines) > 1)
    assert child.stop() == 0

    done = _analyze(collector, "--once", "--service", "unheard")
    assert done.returncode == 1
    assert "nothing was seen of service 'unheard'" in done.stderr
    assert "HEAPWATCH_COLLECTOR" in done.stderr


def test_unreachable_collector_says_the_mend(free_port: Callable[[], int]) -> None:
    done = _analyze(f"http://127.0.0.1:{free_port()}", "--once")
    assert done.returncode == 1
    assert "heapwatch serve" in done.stderr
    assert "--collector" in done.stderr


def test_bad_setting_names_the_setting() -> None:
    done = _analyze("http://127.0.0.1:1", "--once", "--window", "soon")
    assert done.returncode == 2
    assert "window='soon'" in done.stderr


def daily(rng: np.random.Generator, seconds: float) -> tuple[Any, Any]:
    """Sessions of half an hour that come and go with the day: none by night, 60 MiB at its height."""
    born = np.sort(rng.uniform(0.0, seconds, rng.poisson(60 * MIB / 20_000 / 1800 * seconds)))
    born = born[rng.random(len(born)) < 0.5 - 0.5 * np.cos(2 * np.pi * born / DAY)]
    return born, born + rng.exponential(1800, len(born))


def test_a_leak_of_days_is_found_in_what_the_collector_keeps(collector: str, simulation: Any) -> None:
    """One MiB an hour beneath the load of the day; of the last hour there is one push."""
    leak = simulation.Site("remember", simulation.leak(MIB / 60, 2000), 2000, line=77)
    sessions = simulation.Site("sessions", daily, 20_000, line=12)
    fleet = simulation.Fleet([leak, sessions], 56 * 3600.0, 1, push=3600.0)
    Feeder(collector, simulation).feed("slow", fleet)

    done = _analyze(collector, "--once", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    analysis = from_json(Analysis, json.loads(done.stdout))
    assert analysis.status == "leak"
    (verdict,) = analysis.verdicts
    assert (verdict.site.function, verdict.site.line) == ("remember", 77)
    assert verdict.growth.bytes_per_second == pytest.approx(MIB / 3600, rel=0.3)
