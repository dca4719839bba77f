"""What is pushed is what is asked back, averaged or summed as its type means it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration

INUSE = "memory:inuse_space:bytes:space:bytes"
ALLOC = "memory:alloc_space:bytes:space:bytes"
MAIN = ("main", "/srv/shop/main.py", 1)
KEEP = ("Cache.put", "/srv/shop/cache.py", 41)
LOAD = ("load", "/srv/shop/load.py", 7)
JSON = ("loads", "/usr/lib/python3.11/json/__init__.py", 346)

Profiles = Callable[..., Any]


def around(now: float) -> dict[str, str]:
    return {"start": str(int((now - 3600) * 1000)), "end": str(int((now + 60) * 1000))}


def totals(client: Any, kind: str, selector: str, now: float) -> dict[str, int]:
    """Self value by function of a merged flame graph."""
    answer = client.ask("SelectMergeStacktraces", profileTypeID=kind, labelSelector=selector, **around(now))
    graph, found = answer["flamegraph"], {}
    for level in graph.get("levels", []):
        values = [int(v) for v in level["values"]]
        for i in range(0, len(values), 4):
            if values[i + 2]:
                found[graph["names"][values[i + 3]]] = values[i + 2]
    return found


def test_a_state_is_averaged_per_instance_then_summed(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    for i, (first, second) in enumerate([(100, 1000), (300, 2000)]):
        at = now - 30 + 10 * i
        stacks = [((KEEP, MAIN), (0, 0, 1, first), {}), ((LOAD, MAIN), (0, 0, 1, 50 * i), {})]
        collector.push(make_profile(stacks, at), service_name="state", instance="a")
        collector.push(
            make_profile([((KEEP, MAIN), (0, 0, 1, second), {})], at), service_name="state", instance="b"
        )
    assert totals(collector, INUSE, '{service_name="state"}', now) == {"Cache.put": 200 + 1500, "load": 25}
    assert totals(collector, INUSE, '{service_name="state",instance="a"}', now) == {
        "Cache.put": 200,
        "load": 25,
    }


def test_amounts_are_summed(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    for i in range(3):
        collector.push(
            make_profile([((KEEP, MAIN), (1, 100, 0, 0), {})], now - 30 + i),
            service_name="amount",
            instance=f"i{i % 2}",
        )
    assert totals(collector, ALLOC, '{service_name="amount"}', now) == {"Cache.put": 300}
    assert totals(collector, INUSE, '{service_name="amount"}', now) == {}


def test_a_repeated_delivery_counts_once(collector: Any, make_profile: Profiles) -> None:
    profile = make_profile([((KEEP, MAIN), (1, 100, 0, 0), {})])
    for _ in range(3):
        collector.push(profile, service_name="again")
    assert totals(collector, ALLOC, '{service_name="again"}', time.time()) == {"Cache.put": 100}


def test_series_over_time_are_averaged_per_step(collector: Any, make_profile: Profiles) -> None:
    begin = float(int(time.time()) - 100)
    for i, size in enumerate([100, 200, 300, 400]):
        stacks = [((KEEP, MAIN), (1, 10, 1, size), {"endpoint": "GET /a"})]
        collector.push(make_profile(stacks, begin + 5 + 10 * i), service_name="steps")
    asked = {
        "labelSelector": '{service_name="steps"}',
        "start": str(int(begin * 1000)),
        "end": str(int((begin + 40) * 1000)),
        "step": 20,
    }
    (states,) = collector.ask("SelectSeries", profileTypeID=INUSE, **asked)["series"]
    ends = [int((begin + 20) * 1000), int((begin + 40) * 1000)]
    assert [(int(p["timestamp"]), p["value"]) for p in states["points"]] == [
        (ends[0], 150.0),
        (ends[1], 350.0),
    ]
    (amounts,) = collector.ask(
        "SelectSeries", profileTypeID=ALLOC, **asked, groupBy=["endpoint", "instance"]
    )["series"]
    assert [p["value"] for p in amounts["points"]] == [20.0, 20.0]
    assert {pair["name"]: pair["value"] for pair in amounts["labels"]} == {
        "endpoint": "GET /a",
        "instance": "web-1",
    }


def test_sample_labels_select_and_are_listed(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    stacks = [
        ((KEEP, MAIN), (0, 0, 1, 70), {"endpoint": "GET /a", "thread": "T1"}),
        ((LOAD, MAIN), (0, 0, 1, 30), {"endpoint": "POST /b"}),
    ]
    collector.push(make_profile(stacks, now), service_name="labels", region="eu")
    assert totals(collector, INUSE, '{service_name="labels", endpoint="GET /a"}', now) == {"Cache.put": 70}
    assert totals(collector, INUSE, '{service_name="labels", endpoint!~"GET .*"}', now) == {"load": 30}
    assert totals(collector, INUSE, '{service_name="labels", region=~"e."}', now) == {
        "Cache.put": 70,
        "load": 30,
    }
    assert totals(collector, INUSE, '{service_name="labels", region=~"e"}', now) == {}
    assert totals(collector, INUSE, '{service_name="labels", zone=""}', now) == {"Cache.put": 70, "load": 30}
    names = collector.ask("LabelNames", matchers=['{service_name="labels"}'], **around(now))["names"]
    assert {"service_name", "instance", "region", "endpoint", "thread"} <= set(names)
    values = collector.ask("LabelValues", name="region", matchers=['{service_name="labels"}'], **around(now))
    assert values == {"names": ["eu"]}
    assert "POST /b" in collector.ask("LabelValues", name="endpoint", **around(now))["names"]
    for matchers, endpoints in (
        (['{service_name="labels"}'], ["GET /a", "POST /b"]),
        (['{service_name="labels", thread="T1"}'], ["GET /a"]),
        (['{service_name="labels", region="us"}'], []),
        (['{service_name="nothing"}', '{service_name="labels", endpoint=~"POST.*"}'], ["POST /b"]),
    ):
        found = collector.ask("LabelValues", name="endpoint", matchers=matchers, **around(now))
        assert found.get("names", []) == endpoints


@pytest.mark.parametrize(
    "value", ["x' OR '1'='1", "x'); DROP TABLE samples; --", "\\", "{p0:String}", "\x00", "é\n"]
)
def test_values_are_never_sql(collector: Any, make_profile: Profiles, value: str) -> None:
    now = time.time()
    collector.push(make_profile([((KEEP, MAIN), (0, 0, 1, 9), {})], now), service_name="quoted", evil=value)
    quoted = value.replace("\\", "\\\\").replace("\n", "\\n")
    assert totals(collector, INUSE, f'{{service_name="quoted",evil="{quoted}"}}', now) == {"Cache.put": 9}
    assert totals(collector, INUSE, f'{{service_name="quoted",evil="{quoted}x"}}', now) == {}
    assert collector.get("/api/v1/services/" + "x'%20OR%201=1/instances") == {"instances": []}


def test_profile_types_and_series(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    collector.push(
        make_profile([((KEEP, MAIN), (5,), {})], now, types=[("cpu", "nanoseconds")]),
        service_name="typed",
        __name__="process_cpu",
    )
    types = {t["ID"]: t for t in collector.ask("ProfileTypes", **around(now))["profileTypes"]}
    cpu = types["process_cpu:cpu:nanoseconds:space:bytes"]
    assert (cpu["name"], cpu["sampleType"], cpu["sampleUnit"], cpu["periodType"]) == (
        "process_cpu",
        "cpu",
        "nanoseconds",
        "space",
    )
    # The health check of Grafana's data source asks for a range in 1970.
    assert collector.ask("ProfileTypes", start="1000", end="4000") == {}
    sets = collector.ask(
        "Series", matchers=['{service_name="typed"}'], labelNames=["service_name"], **around(now)
    )
    assert sets == {"labelsSet": [{"labels": [{"name": "service_name", "value": "typed"}]}]}


def test_diff_and_merged_profile(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    for version, size in (("1", 100), ("2", 700)):
        profile = make_profile([((KEEP, MAIN), (0, 0, 1, size), {})], now)
        collector.push(profile, service_name="diffed", service_version=version)
    sides = [
        {
            "profileTypeID": INUSE,
            "labelSelector": f'{{service_name="diffed",service_version="{v}"}}',
            **around(now),
        }
        for v in "12"
    ]
    graph = collector.ask("Diff", left=sides[0], right=sides[1])["flamegraph"]
    assert (graph["leftTicks"], graph["rightTicks"], graph["names"]) == (
        "100",
        "700",
        ["total", "main", "Cache.put"],
    )
    merged = collector.ask("SelectMergeProfile", **sides[1])
    assert [sample["value"] for sample in merged["sample"]] == [["700"]]
    assert {"Cache.put", "/srv/shop/cache.py", "inuse_space"} <= set(merged["stringTable"])


def test_sites_have_a_point_for_every_push(collector: Any, make_profile: Profiles) -> None:
    now = time.time()
    times = [round(now - 50 + 10 * i, 3) for i in range(4)]
    for i, at in enumerate(times):
        # In the second push the site of `load` has no sample; JSON's own frame is not the responsible one.
        stacks: list[Any] = [((KEEP, MAIN), (0, 0, 2 + i, 3000 * (i + 1)), {"endpoint": "GET /a"})]
        if i != 1:
            stacks.append(((JSON, LOAD, MAIN), (0, 0, 3, 5000), {}))
        collector.push(make_profile(stacks, at), service_name="sites", service_version="7", instance="a")
    collector.push(make_profile([], times[0]), service_name="sites", service_version="7", instance="idle")
    found = collector.get("/api/v1/services/sites/sites", version="7")
    assert found["interval"] == 65536
    keep, load = found["sites"]  # by growth
    assert (keep["site"]["function"], keep["site"]["file"], keep["site"]["line"]) == KEEP
    assert keep["instances"] == {"a": [[at, 3000.0 * (i + 1), 2.0 + i] for i, at in enumerate(times)]}
    assert keep["endpoints"] == [{"name": "GET /a", "share": 1.0}]
    assert (load["site"]["function"], load["site"]["caller"]["function"]) == ("load", "load")
    assert [call["function"] for call in load["site"]["stack"]] == ["loads", "load", "main"]
    assert [point[1] for point in load["instances"]["a"]] == [5000.0, 0.0, 5000.0, 5000.0]
    assert len(collector.get("/api/v1/services/sites/sites", limit=1)["sites"]) == 1
    assert collector.get("/api/v1/services/sites/sites", version="8") == {"interval": 0, "sites": []}
    (stepped,) = collector.get("/api/v1/services/sites/sites", limit=1, step=3600)["sites"]
    assert sum(len(points) for points in stepped["instances"].values()) in (1, 2)


def test_metrics_come_back_raw_and_by_step(collector: Any, make_metrics: Callable[..., bytes]) -> None:
    begin = time.time() // 60 * 60 - 120
    for i in range(4):
        body = make_metrics(
            {"process.memory.usage": 100.0 + i, "x.y": 1.0}, begin + 30 * i, service="metered"
        )
        assert collector.post("/v1/metrics", body, "application/x-protobuf").status == 200
    path = "/api/v1/services/metered/metrics"
    (raw,) = collector.get(path, name="process.memory.usage")["series"]
    assert raw["points"] == [[begin + 30 * i, 100.0 + i] for i in range(4)]
    assert (raw["instance"], raw["version"], raw["attributes"]) == ("web-1", "1.0", {})
    (stepped,) = collector.get(path, name="process.memory.usage", step=60)["series"]
    assert stepped["points"] == [[begin, 100.5], [begin + 60, 102.5]]
    assert {s["name"] for s in collector.get(path)["series"]} == {"process.memory.usage", "x.y"}
    assert collector.get(path, instance="other") == {"series": []}
    assert collector.get(path, name=["a'b\\", "x.y') OR 1 --"], instance="']") == {"series": []}
    assert collector.get(path, start=begin + 100, end=begin + 200) == {"series": []}


def test_services_and_instances(
    collector: Any, make_metrics: Callable[..., bytes], make_profile: Profiles
) -> None:
    now = round(time.time(), 3)
    for instance, rss in (("a", 1e8), ("b", 2e8)):
        values = {"process.memory.usage": rss, "heapwatch.heap.live": rss / 2}
        body = make_metrics(values, now - 5, service="listed", instance=instance)
        collector.post("/v1/metrics", body, "application/x-protobuf")
    collector.push(
        make_profile([], now),
        service_name="listed",
        service_version="1.0",
        instance="a",
        pid="41",
        host="box",
    )
    service = next(s for s in collector.get("/api/v1/services")["services"] if s["name"] == "listed")
    assert service == {
        "name": "listed",
        "versions": ["1.0"],
        "instances": 2,
        "parents": 0,
        "first_seen": now - 5,
        "last_seen": now,
        "rss_bytes": 3e8,
        "status": "unknown",
        "leaks": 0,
    }
    first, second = collector.get("/api/v1/services/listed/instances")["instances"]
    assert first == {
        "id": "a",
        "version": "1.0",
        "pid": 41,
        "host": "box",
        "runtime": "cpython 3.11.7",
        "first_seen": now - 5,
        "last_seen": now,
        "rss_bytes": 1e8,
        "limit_bytes": None,
        "live_bytes": 5e7,
        "role": "worker",
    }
    assert second["id"] == "b"
    assert collector.get("/api/v1/services/listed/instances", start=now + 10, end=now + 20) == {
        "instances": []
    }


def test_a_parent_of_workers_is_told_apart(collector: Any, make_metrics: Callable[..., bytes]) -> None:
    for instance, workers in (("master", 2.0), ("w1", 0.0), ("w2", 0.0)):
        values = {"process.memory.usage": 1e8, "heapwatch.process.workers": workers}
        body = make_metrics(values, time.time() - 5, service="forking", instance=instance)
        assert collector.post("/v1/metrics", body, "application/x-protobuf").status == 200
    service = next(s for s in collector.get("/api/v1/services")["services"] if s["name"] == "forking")
    assert (service["instances"], service["parents"], service["rss_bytes"]) == (2, 1, 3e8)
    found = collector.get("/api/v1/services/forking/instances")["instances"]
    assert {i["id"]: i["role"] for i in found} == {"master": "parent", "w1": "worker", "w2": "worker"}
