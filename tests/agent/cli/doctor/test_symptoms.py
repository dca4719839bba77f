"""Each symptom is found where it is, not found where it isn't, and the most urgent one comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from heapwatch.cgroup import ContainerMemory
from heapwatch.cli.doctor.facts import AgentFacts, Facts, Machine
from heapwatch.cli.doctor.symptoms import Finding, diagnose
from heapwatch.process import ProcessStatus
from heapwatch_wire.evidence import Evidence, Growth, Holder, Site

MIB = 1 << 20
GIB = 1 << 30

GC: dict[str, Any] = {
    **{"enabled": True, "uncollectable": 0, "pause_quantiles": {}, "tuner": None},
    "pause_generations": [],
}
AGENT = AgentFacts(
    info={"service": "shop", "reason": ""},
    stats={"agent": {"sampler": {"reason": "", "hooks_intact": 1}}},
    gc=GC,
)
STATUS = ProcessStatus(200 * MIB, 220 * MIB, GIB, 0, 8, 1.0, 1.0, 30)
HEALTHY = Facts(
    pid=4711,
    command="python app.py",
    uptime=3600.0,
    status=STATUS,
    machine=Machine(total=16 * GIB, available=10 * GIB),
    descriptors_limit=1024,
    container=ContainerMemory(usage=300 * MIB, working_set=250 * MIB, limit=GIB),
    parts={"pymalloc used": 150 * MIB, "files": 50 * MIB},
    fragmentation={"pymalloc": 0.05, "malloc": 0.1},
    agent=AGENT,
)


def evidence(verdict: Any, per_hour: float) -> Evidence:
    rate = per_hour / 3600
    return Evidence(
        verdict,
        "shop",
        "1",
        Site("s", "remember", "app/cache.py", 17),
        "app.Page",
        30 * MIB,
        1000,
        Growth(rate, rate * 0.9, rate * 1.1, 1.0),
        time=0.0,
        holders=(Holder("app.CACHE[*]", "module", (), 1.0),),
    )


def with_gc(**changes: Any) -> Facts:
    return replace(HEALTHY, agent=replace(AGENT, gc={**GC, **changes}))


def with_evidence(*documents: Evidence) -> Facts:
    return replace(HEALTHY, agent=replace(AGENT, evidence=documents))


def words(finding: Finding) -> str:
    return "\n".join((finding.title, *finding.because))


def with_defence(state: str, **changes: Any) -> Facts:
    defence = {
        "mode": "act",
        "state": state,
        "used": 900 * MIB,
        "limit": GIB,
        "whose": "container",
        "shed": 12,
        "waits": "",
        "recent": [],
        **changes,
    }
    agent = {**AGENT.stats["agent"], "defence": defence}
    return replace(HEALTHY, agent=replace(AGENT, stats={"agent": agent}))


def test_a_healthy_process_has_no_symptoms() -> None:
    assert diagnose(HEALTHY) == []


def quantiles(p99: float) -> dict[str, Any]:
    return {"inside": {"count": 40, "p50": p99 / 2, "p99": p99, "max": p99 * 2}}


def generations(*p99: float, collected: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "collections": 10,
            "collected": 10 * collected,
            "seconds": 1.0,
            "quantiles": quantiles(each)["inside"],
        }
        for each in p99
    ]


@pytest.mark.parametrize(
    ("facts", "severity", "said"),
    [
        (
            replace(HEALTHY, container=ContainerMemory(GIB, 250 * MIB, GIB, events={"oom_kill": 2})),
            "critical",
            "killed 2 processes",
        ),
        (replace(HEALTHY, container=ContainerMemory(GIB, 900 * MIB, GIB)), "critical", "88% of its limit"),
        (replace(HEALTHY, container=ContainerMemory(GIB, 750 * MIB, GIB)), "warning", "73% of its limit"),
        (replace(HEALTHY, container=None, machine=Machine(16 * GIB, GIB)), "critical", "94% of its limit"),
        (
            replace(
                HEALTHY,
                container=ContainerMemory(250 * MIB, 250 * MIB, 32 * GIB),
                machine=Machine(16 * GIB, GIB),
            ),
            "critical",
            "15.0 GiB of 16.0 GiB of the machine are used",
        ),
        (with_evidence(evidence("leak", 10 * MIB)), "warning", "remember (app/cache.py:17)"),
        (with_evidence(evidence("leak", 2 * GIB)), "critical", "limit is met in 22 min"),
        (with_evidence(evidence("suspicion", 10 * MIB)), "note", "no leak is proved yet"),
        (replace(HEALTHY, growth=5 * MIB, watched=2.0), "warning", "RSS grew 10.0 MiB"),
        (
            replace(HEALTHY, status=replace(STATUS, swap=100 * MIB)),
            "warning",
            "100 MiB of the process are swapped",
        ),
        (
            replace(
                HEALTHY, fragmentation={"malloc": 0.5}, parts={"malloc free": 90 * MIB}, trimmable=80 * MIB
            ),
            "warning",
            "malloc would give back 80.0 MiB",
        ),
        (with_gc(pause_quantiles=quantiles(0.06)), "note", "stops the service for up to 120 ms"),
        (with_gc(pause_quantiles=quantiles(0.2)), "warning", "99th percentile 200 ms"),
        (with_gc(pause_generations=generations(0.02, 0.2)), "warning", "99th percentile 200 ms"),
        (
            with_gc(pause_generations=generations(0.02, 0.02, collected=30_000)),
            "note",
            "frees 30,000 objects",
        ),
        (replace(HEALTHY, faults=200_000.0), "warning", "200,000 pages a second"),
        (with_gc(uncollectable=3), "warning", "3 objects that no collection can free"),
        (with_gc(enabled=False), "note", "collection is off"),
        (
            replace(HEALTHY, status=replace(STATUS, descriptors=1000)),
            "warning",
            "1,000 of 1,024 file descriptors",
        ),
        (replace(HEALTHY, status=replace(STATUS, threads=900)), "note", "900 threads"),
        (replace(HEALTHY, parts={"unexplained": 100 * MIB}), "note", "50% of RSS is mapped by libraries"),
        (replace(HEALTHY, machine=Machine(16 * GIB, 10 * GIB, 0.3)), "critical", "waited for memory 30%"),
        (replace(HEALTHY, agent=None, threads=("MainThread runs f",)), "note", "No agent"),
        (with_defence("soft"), "note", "900 MiB of 1.00 GiB of the container"),
        (with_defence("shed", waits="worker 7 has grown more"), "warning", "drain: worker 7 has grown more"),
        (with_defence("drain", mode="observe"), "warning", "state drain (it only observes)"),
        (replace(HEALTHY, agent=None, silent="timed out"), "critical", "doesn't answer"),
    ],
)
def test_a_symptom_is_found_with_its_figures(facts: Facts, severity: str, said: str) -> None:
    found = diagnose(facts)
    assert [(f.severity, said in words(f)) for f in found] == [(severity, True)]


def test_memory_that_grows_takes_new_pages_without_being_slow() -> None:
    facts = replace(HEALTHY, faults=200_000.0, growth=200_000.0 * 4096, watched=2.0)
    assert ["RSS grew" in finding.title for finding in diagnose(facts)] == [True]


def test_collection_that_the_tuner_does_is_not_off() -> None:
    assert diagnose(with_gc(enabled=False, tuner={"acting": True})) == []


def test_the_most_urgent_comes_first() -> None:
    facts = replace(
        with_evidence(evidence("leak", 10 * MIB)),
        container=ContainerMemory(GIB, 950 * MIB, GIB, events={"oom_kill": 1}),
        status=replace(STATUS, threads=900),
    )
    assert [f.severity for f in diagnose(facts)] == ["critical", "critical", "warning", "note"]
    assert "killed" in diagnose(facts)[0].title


def test_each_step_names_the_process_and_says_what_it_does() -> None:
    facts = replace(
        with_evidence(evidence("leak", 2 * GIB)),
        container=ContainerMemory(GIB, 950 * MIB, GIB),
        trimmable=80 * MIB,
    )
    steps = [step for finding in diagnose(facts) for step in (*finding.next, *finding.emergency)]
    assert any(step.command == "heapwatch trim 4711" for step in steps)
    assert all("4711" in step.command and step.effect for step in steps)
    assert not any("drain" in step.command for step in steps)
    of_worker = diagnose(replace(facts, worker=True))[0].emergency
    assert [step.command.split()[1] for step in of_worker] == ["trim", "gc", "snapshot", "drain"]
