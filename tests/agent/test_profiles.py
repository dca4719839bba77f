"""Profiles carry each allocation once, whatever gets lost, and live memory as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from heapwatch.profiles import TRUNCATED, Profiles
from heapwatch.sampler import Row
from heapwatch_wire import pprof
from heapwatch_wire.sites import Frame
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from conftest import ScriptedSampler

LEAF = Frame("put", "/srv/cache.py", 4)
MAIN = Frame("main", "/srv/main.py", 9)


def row(stack: int, live: float, allocated: float, label: int = 0, thread: str = "") -> Row:
    return Row(stack, (LEAF, MAIN), False, label, thread, live / 64, live, allocated / 64, allocated)


def test_a_profile_has_deltas_live_values_and_labels(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    endpoint = sampler.labels.intern("GET /p/<int:id>")
    sampler.rows = [row(1, 640, 1280, endpoint, "Thread-1")]
    first = pprof.decode(profiles.take(100.0).data)
    sampler.rows = [row(1, 320, 1920, endpoint, "Thread-1"), row(2, 0, 64)]
    second = pprof.decode(profiles.take(110.5).data)
    labels = (("endpoint", "GET /p/<int:id>"), ("thread", "Thread-1"))
    assert first.samples == [pprof.Sample((LEAF, MAIN), (20, 1280, 10, 640), labels)]
    assert second.samples == [
        pprof.Sample((LEAF, MAIN), (10, 640, 5, 320), labels),
        pprof.Sample((LEAF, MAIN), (1, 64, 0, 0)),
    ]
    assert (second.period, second.period_type) == (65536, ("space", "bytes"))
    assert (second.time_nanos, second.duration_nanos) == (110_500_000_000, 10_500_000_000)


def test_a_stack_with_nothing_new_and_nothing_live_is_left_out(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    sampler.rows = [row(1, 0, 640)]
    profiles.take(1.0)
    assert pprof.decode(profiles.take(2.0).data).samples == []


def test_a_truncated_stack_says_so_at_its_root(sampler: ScriptedSampler) -> None:
    sampler.rows = [row(1, 640, 640)._replace(truncated=True)]
    [sample] = pprof.decode(Profiles(sampler).take(1.0).data).samples
    assert sample.stack == (LEAF, MAIN, TRUNCATED)


def test_a_snapshot_has_all_allocations_and_changes_nothing(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    sampler.rows = [row(1, 640, 640)]
    profiles.take(1.0)
    sampler.rows = [row(1, 640, 1280)]
    assert pprof.decode(profiles.snapshot(2.0)).samples[0].values == (20, 1280, 10, 640)
    assert pprof.decode(profiles.take(3.0).data).samples[0].values == (10, 640, 10, 640)


def test_a_stack_that_the_sampler_forgot_begins_anew(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    sampler.rows = [row(1, 0, 6400)]
    profiles.take(1.0)
    sampler.rows = [row(1, 64, 128)]
    assert pprof.decode(profiles.take(2.0).data).samples[0].values == (2, 128, 1, 64)


@given(st.lists(st.tuples(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), st.booleans()), max_size=12))
def test_what_is_delivered_sums_up_to_what_was_allocated(
    new_sampler: Callable[[], ScriptedSampler], steps: list[tuple[list[float], bool]]
) -> None:
    sampler = new_sampler()
    profiles = Profiles(sampler)
    totals = [0.0, 0.0, 0.0]
    delivered = 0
    lost = []
    for growth, arrives in [*steps, ([0.0, 0.0, 0.0], True)]:
        totals = [total + more for total, more in zip(totals, growth, strict=True)]
        sampler.rows = [row(stack, 1, total) for stack, total in enumerate(totals)]
        for taken in lost:
            profiles.give_back(taken)
        lost = []
        taken = profiles.take(1.0)
        if arrives:
            delivered += sum(s.values[1] for s in pprof.decode(taken.data).samples)
        else:
            lost.append(taken)
    assert delivered == sum(map(round, totals))
