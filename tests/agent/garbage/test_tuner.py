"""Collections leave requests alone, nothing stays changed, and memory comes before everything."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from heapwatch.gctuner import tuner as tuning
from heapwatch.gctuner.versions import cannot_act
from heapwatch.journal import KEPT

if TYPE_CHECKING:
    from conftest import World

acts = pytest.mark.skipif(bool(cannot_act()), reason=cannot_act())


class Node:
    """Something that a weak reference can watch."""


def cycle() -> weakref.ref[Node]:
    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    return weakref.ref(node)


def test_observing_changes_nothing_and_says_what_it_would_do(world: World) -> None:
    before = gc.get_threshold()
    tuner = world.tuner("observe")
    for _ in range(30):
        world.serve(5)
        world.pass_time(tuner, 1)
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == world.controls.frozen
    assert tuner.plan is not None
    assert tuner.plan.thresholds[0] > before[0]
    assert tuner.journal.counts["thresholds", "observe"] >= 1
    assert not [mode for (_, mode) in tuner.journal.counts if mode == "act"]


@acts
def test_acting_collects_at_the_end_of_requests_and_not_inside(world: World) -> None:
    world.acting()
    inside, outside = sum(world.stats.inside().counts), sum(world.stats.outside().counts)
    world.serve(200, garbage=1000)
    assert sum(world.stats.inside().counts) == inside
    assert sum(world.stats.outside().counts) > outside + 5


@acts
def test_without_the_tuner_the_same_requests_are_stopped(world: World) -> None:
    world.serve(200, garbage=2000)
    assert sum(world.stats.inside().counts) > 50


@acts
@pytest.mark.parametrize("bound", ["bytes", "time"])
def test_garbage_goes_even_while_requests_never_end(world: World, bound: str) -> None:
    tuner = world.acting()
    assert tuner.plan is not None
    always = world.in_flight.enter()
    dead = cycle()
    world.serve(1, garbage=tuner.plan.thresholds[0] // 2)
    assert dead() is not None, "a collection ran while a request did"
    if bound == "bytes":
        world.serve(1, garbage=tuner.plan.thresholds[0] // 3)
    else:
        world.now += tuner.plan.full_interval + 1
        tuner.tick(world.now)
        world.serve(1, garbage=10)
    assert dead() is None
    world.in_flight.leave(always, world.now)


@acts
def test_where_requests_leave_no_gap_it_plans_to_collect_about_as_often_as_cpython(world: World) -> None:
    def serve() -> None:
        for _ in range(60):
            world.serve(50, garbage=200)
            world.pass_time(tuner, 1)

    natural = world.controls.natural[0]
    always = [world.in_flight.enter() for _ in range(3)]
    tuner = world.tuner("observe")
    serve()
    assert not tuner.status()["waiting_pays"]
    assert tuner.plan is not None
    assert natural < tuner.plan.thresholds[0] < 2 * natural
    for number in always:
        world.in_flight.leave(number, world.now)
    serve()
    assert tuner.status()["waiting_pays"]
    assert tuner.plan.thresholds[0] > 2 * natural


@acts
def test_a_request_that_allocates_without_end_is_collected_by_cpython(world: World) -> None:
    tuner = world.acting()
    assert tuner.plan is not None
    dead = cycle()
    number = world.in_flight.enter()
    kept = [[] for _ in range(2 * tuner.plan.thresholds[0])]
    world.in_flight.leave(number, world.now)
    assert dead() is None
    assert len(kept) > 0


@acts
def test_what_survives_the_warm_up_is_frozen_between_requests(world: World) -> None:
    kept = [[number] for number in range(50_000)]
    tuner = world.acting(warmup=20.0)
    world.pass_time(tuner, 1)
    assert world.controls.frozen > 50_000
    assert tuner.journal.counts["freeze", "act"] == 1
    assert len(kept) == 50_000


@acts
def test_idle_processes_collect_early(world: World) -> None:
    tuner = world.acting()
    dead = cycle()
    kept = [[] for _ in range(world.controls.natural[0] + 200)]
    world.pass_time(tuner, 1)
    assert dead() is None
    assert tuner.journal.counts["idle", "act"] >= 1
    assert kept


@acts
@pytest.mark.parametrize("end", ["stop", "observe", "off"])
def test_thresholds_and_frozen_objects_are_given_back(world: World, end: str) -> None:
    before = gc.get_threshold()
    tuner = world.acting()
    assert gc.get_threshold() != before
    if end == "stop":
        tuner.stop()
    else:
        tuner.set_mode(end)
    assert gc.get_threshold() == before
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert not tuner.acting


@acts
def test_memory_that_grew_undoes_it_and_it_is_tried_again_later(world: World) -> None:
    before = gc.get_threshold()
    tuner = world.acting()
    world.rss += 40 << 20
    world.pass_time(tuner, 11)
    assert not tuner.acting
    assert gc.get_threshold() == before
    assert tuner.journal.counts["undo", "act"] == 1
    world.pass_time(tuner, 100)
    assert not tuner.acting
    world.pass_time(tuner, tuning.BACKOFF)
    assert tuner.acting


@acts
def test_pressure_collects_inside_a_request_and_thaws(world: World) -> None:
    tuner = world.acting()
    dead = cycle()
    gc.freeze()
    number = world.in_flight.enter()
    world.pressure = "the working set is 95% of the container's limit"
    world.pass_time(tuner, 2)
    world.in_flight.leave(number, world.now)
    assert dead() is None
    assert tuner.journal.counts["pressure", "act"] == 1
    assert "95%" in str(tuner.journal.recent())


def test_observing_does_not_collect_under_pressure(world: World) -> None:
    tuner = world.tuner("observe")
    gc.collect(0)  # CPython's own next collection is far away
    dead = cycle()
    world.pressure = "tasks waited for memory"
    world.pass_time(tuner, 2)
    assert dead() is not None
    assert tuner.journal.counts["pressure", "observe"] == 1


@acts
@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_no_collection_looks_at_a_heap_that_is_shared_with_other_processes(
    world: World, shared: bool
) -> None:
    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    old = weakref.ref(node)
    gc.collect()
    del node
    world.shared = world.rss // 2 if shared else 0
    tuner = world.acting()
    world.pass_time(tuner, 1)
    assert tuner.journal.counts["freeze", "act"] == 1
    assert (old() is not None) == shared


@acts
def test_a_service_that_sets_thresholds_itself_is_left_alone(world: World) -> None:
    tuner = world.acting()
    gc.set_threshold(1234, 5, 6)
    world.pass_time(tuner, 15)
    assert gc.get_threshold() == (1234, 5, 6)
    assert not tuner.acting


@acts
def test_a_service_that_switched_collection_off_keeps_it_off(world: World) -> None:
    gc.disable()
    before = gc.get_threshold()
    tuner = world.tuner("act")
    for _ in range(25):
        world.serve(2)
        world.pass_time(tuner, 1)
    assert not tuner.acting
    assert not gc.isenabled()
    assert gc.get_threshold() == before


@acts
def test_a_silent_agent_thread_is_noticed_at_the_next_request(world: World) -> None:
    before = gc.get_threshold()
    tuner = world.acting()
    world.now += tuning.WATCHDOG + 1
    world.serve(1)
    assert gc.get_threshold() == before
    assert not tuner.acting


@acts
def test_what_happens_often_does_not_push_what_happens_seldom_out_of_the_journal(world: World) -> None:
    tuner = world.acting()
    world.pass_time(tuner, 1)
    world.serve(2 * KEPT, garbage=world.controls.natural[0] + 100)
    assert tuner.journal.counts["young", "act"] > KEPT
    kinds = [action["kind"] for action in tuner.status()["recent"]]
    assert "freeze" in kinds
    assert "thresholds" in kinds


@acts
def test_a_failing_tuner_gives_everything_back(world: World) -> None:
    before = gc.get_threshold()
    tuner = world.acting()

    def broken() -> int:
        raise OSError("no /proc")

    tuner._rss = broken
    world.pressure = "full"
    with pytest.raises(OSError, match="no /proc"):
        world.pass_time(tuner, 5)
    assert gc.get_threshold() == before
    assert not tuner.acting


def test_an_interpreter_of_another_kind_is_only_observed() -> None:
    assert cannot_act((3, 13), free_threaded=False) == ""
    assert "increments" in cannot_act((3, 14), free_threaded=False)
    assert "free-threaded" in cannot_act((3, 13), free_threaded=True)
