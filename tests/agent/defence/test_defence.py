"""What is done in each state, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from heapwatch.defence.defence import PUBLISH, Defence
from heapwatch.defence.drain import FINISH, PATIENCE
from heapwatch.defence.family import Member
from heapwatch.defence.relief import LONGEST_SPACING, SPACING
from heapwatch.defence.states import State
from heapwatch_wire.otlp import Number

if TYPE_CHECKING:
    from conftest import World


def look(world: World, defence: Defence, seconds: float = 1.0) -> State:
    world.now += seconds
    defence.look()
    return defence.state


def serving(world: World, **settings: object) -> Defence:
    defence = world.defence(**settings)
    world.serve()
    look(world, defence)
    return defence


def refused(world: World, path: str = "/page") -> bool:
    guard = world.requests.guard
    return guard is not None and guard.refuse(path) is not None


def test_in_peace_requests_pass_nobody(world: World) -> None:
    serving(world)
    assert world.requests.guard is None


def test_soft_drops_caches_and_trims_but_not_again_soon(world: World) -> None:
    dropped: list[int] = []
    world.caches.append(lambda: dropped.append(1))
    defence = serving(world)
    world.takes(760)
    assert look(world, defence) is State.SOFT
    assert (len(dropped), world.trims) == (1, 1)
    look(world, defence, SPACING / 2)
    assert len(dropped) == 1
    look(world, defence, LONGEST_SPACING)
    assert len(dropped) == 2
    assert not refused(world)


def test_a_cache_that_fails_hinders_no_other(world: World) -> None:
    dropped: list[int] = []

    def fails() -> None:
        raise KeyError("gone")

    world.caches += [fails, lambda: dropped.append(1)]
    defence = serving(world)
    world.takes(760)
    look(world, defence)
    assert dropped
    assert world.failures.counts["a callback of on_pressure"] == 1


def test_shed_refuses_optional_paths_only(world: World) -> None:
    defence = serving(world, defence_optional="/recommendations/* /search")
    world.takes(860)
    assert look(world, defence) is State.SHED
    assert refused(world, "/recommendations/7")
    assert refused(world, "/search")
    assert not refused(world, "/page")
    assert defence.ready


def test_near_the_limit_all_is_refused_until_memory_is_there_again(world: World) -> None:
    defence = serving(world)
    world.used = 960  # by others in the container: to end would not help
    assert look(world, defence) is State.SHED
    assert refused(world)
    assert not defence.ready
    world.used = 500
    look(world, defence)
    look(world, defence, 60.0)
    assert defence.state is State.OK
    assert not refused(world)
    assert defence.ready


def test_a_worker_that_has_grown_drains_and_asks_its_server_to_end(world: World) -> None:
    defence = serving(world)
    world.takes(910)
    assert look(world, defence) is State.DRAIN
    assert not defence.ready
    assert world.way.taken == []
    assert not refused(world), "it serves until its balancers have heard"
    look(world, defence, 5.0)
    assert world.way.taken == ["SIGTERM"]
    assert world.left == 0


def test_where_nobody_handles_the_signal_requests_end_first(world: World) -> None:
    world.way = replace(world.way, graceful=False)
    defence = serving(world)
    request = world.requests.begin("GET")
    world.takes(910)
    look(world, defence)
    look(world, defence, 5.0)
    assert world.way.taken == []
    assert refused(world)
    request.sent()
    look(world, defence)
    assert (world.left, world.way.taken) == (1, ["SIGTERM"])


def test_a_request_that_never_ends_holds_nobody_for_ever(world: World) -> None:
    world.way = replace(world.way, graceful=False)
    defence = serving(world)
    request = world.requests.begin("GET")
    world.takes(910)
    look(world, defence)
    look(world, defence, 5.0)
    look(world, defence, FINISH)
    assert world.way.taken == ["SIGTERM"]
    request.end()


def test_a_worker_that_its_server_keeps_serves_again(world: World) -> None:
    defence = serving(world)
    world.takes(910)
    for seconds in (1.0, 5.0, PATIENCE):
        look(world, defence, seconds)
    world.takes(300)
    for _ in range(3):
        look(world, defence, 60.0)
    assert defence.state is State.OK
    assert defence.ready


def test_a_worker_whose_end_would_not_help_stays(world: World) -> None:
    world.takes(880)
    defence = serving(world)
    world.takes(920)
    assert look(world, defence) is State.SHED
    assert [entry["kind"] for entry in defence.journal.recent()].count("stay") == 1
    look(world, defence, 60.0)
    assert [entry["kind"] for entry in defence.journal.recent()].count("stay") == 1, "said once"


def test_the_worker_that_has_grown_most_goes(world: World) -> None:
    defence = serving(world)
    world.family().publish(Member(1, "", False, 100, 500 << 20))  # process 1 lives on every machine
    world.rss, world.used = 300, 910
    assert look(world, defence) is State.SHED
    assert "worker 1 has grown more" in defence.status()["waits"]
    world.rss = 800
    assert look(world, defence) is State.DRAIN


def test_what_a_worker_said_of_itself_before_is_no_other_one(world: World) -> None:
    defence = serving(world)
    world.rss, world.used = 600, 880
    assert look(world, defence) is State.SHED
    world.rss, world.used = 300, 910
    assert look(world, defence, PUBLISH / 4) is State.DRAIN


def test_one_worker_of_a_server_with_others_needs_no_grace(world: World) -> None:
    address = "127.0.0.1:9999"
    defence = serving(world, agent_check=address)
    assert defence.grace == 5.0
    world.family().publish(Member(1, "127.0.0.1:1", False, 100, 0))
    assert defence.grace == 5.0, "another server of the balancer's"
    world.family().publish(Member(1, address, False, 100, 0))
    world.takes(910)
    look(world, defence)
    assert world.way.taken == ["SIGTERM"]


def test_who_just_drained_is_waited_for(world: World) -> None:
    defence = serving(world)
    other = world.family()
    assert other.take_leave()
    other.stay()
    world.takes(910)
    assert look(world, defence) is State.SHED
    assert "another worker" in defence.status()["waits"]
    world.takes(990)
    assert look(world, defence) is State.DRAIN, "memory is about to run out: no more waiting"


def test_observe_says_and_does_nothing(world: World) -> None:
    world.caches.append(lambda: (_ for _ in ()).throw(AssertionError("dropped")))
    defence = serving(world, defence="observe", defence_optional="/search")
    world.takes(990)
    look(world, defence)
    look(world, defence, 60.0)
    assert not refused(world, "/search")
    assert defence.ready
    assert (world.trims, world.way.taken, dict(world.failures.counts)) == (0, [], {})
    kinds = {(entry["kind"], entry["mode"]) for entry in defence.journal.recent()}
    assert kinds == {("relieve", "observe"), ("drain", "observe")}
    assert defence.shedding.counts["all", "observe"] == 1


def test_a_process_that_serves_nobody_is_left_alone(world: World) -> None:
    defence = world.defence()
    world.takes(990)
    assert look(world, defence) is State.OK
    assert world.requests.guard is None


def test_a_limit_of_its_own_bounds_the_process(world: World) -> None:
    world.limit = None
    defence = serving(world, defence_limit=500 << 20)
    world.takes(460)
    assert look(world, defence) is State.DRAIN
    assert "of the process" in defence.journal.recent()[0]["reason"]


def test_what_relief_frees_needs_no_drain(world: World) -> None:
    defence = serving(world)
    world.caches.append(lambda: world.takes(400))
    world.takes(910)
    assert look(world, defence) is State.SHED, "until it has stayed below for a while"
    look(world, defence, 60.0)
    look(world, defence, 60.0)
    assert defence.state is State.OK
    assert world.way.taken == []


def test_without_a_limit_it_says_what_is_missing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.limit = None
    defence = serving(world)
    look(world, defence)
    assert [r.getMessage() for r in caplog.records if "HEAPWATCH_DEFENCE_LIMIT" in r.getMessage()] == [
        "heapwatch: no limit bounds the memory, so there is nothing to defend: set HEAPWATCH_DEFENCE_LIMIT"
    ]
    assert defence.state is State.OK


def test_a_drain_that_is_asked_for_needs_no_pressure(world: World) -> None:
    defence = serving(world, defence="off")
    defence._asked_to_drain = True
    assert look(world, defence) is State.DRAIN
    look(world, defence, 5.0)
    assert world.way.taken == ["SIGTERM"]


def test_a_drain_that_is_asked_for_counts_as_an_act(world: World) -> None:
    world.way = replace(world.way, graceful=False)
    defence = serving(world, defence="observe")
    defence._asked_to_drain = True
    world.requests.begin("GET")
    look(world, defence)
    look(world, defence, 5.0)
    assert refused(world)
    counted = {
        (point.metric.name, *point.attributes.values()): point.value
        for point in defence.points()
        if isinstance(point, Number)
    }
    assert counted["heapwatch.defence.actions", "drain", "act"] == 1
    assert counted["heapwatch.defence.actions", "drain", "observe"] == 0
    assert counted["heapwatch.defence.shed", "leaving", "act"] == 1
