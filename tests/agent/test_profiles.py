"""Profiles on their way to delivery: with their times, compressed, given back when they get lost."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from heapwatch.profiles import Profiles
from heapwatch.sampler import NullSampler, Row
from heapwatch_wire import pprof
from heapwatch_wire.sites import Frame

if TYPE_CHECKING:
    from conftest import ScriptedSampler

LEAF = Frame("put", "/srv/cache.py", 4)
MAIN = Frame("main", "/srv/main.py", 9)


def row(stack: int, size: float) -> Row:
    return Row(stack, (LEAF, MAIN), False, 0, "", size / 64, size, size / 32, size * 2)


def test_a_profile_says_when_it_was_made_and_since_when_it_counts(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    sampler.rows = [row(1, 640)]
    profiles.take(100.0)
    profile = pprof.decode(profiles.take(110.5).data)
    assert profile.samples == [pprof.Sample((LEAF, MAIN), (20, 1280, 10, 640))]
    assert (profile.time_nanos, profile.duration_nanos) == (110_500_000_000, 10_500_000_000)
    assert sampler.taken == [True, True]


def test_a_snapshot_takes_nothing_and_lasts_no_time(sampler: ScriptedSampler) -> None:
    profile = pprof.decode(Profiles(sampler).snapshot(100.0))
    assert (profile.time_nanos, profile.duration_nanos) == (100_000_000_000, 0)
    assert sampler.taken == [False]


def test_a_profile_that_gets_lost_is_given_back(sampler: ScriptedSampler) -> None:
    profiles = Profiles(sampler)
    profiles.give_back(profiles.take(1.0))
    assert sampler.given_back == [b"taken"]


def test_a_long_profile_comes_out_whole(sampler: ScriptedSampler) -> None:
    """It is compressed in pieces."""
    sampler.rows = [
        Row(n, (Frame(f"f{n * 7919}", f"/srv/{n}.py", n),), False, 0, "", 1, n, 1, n) for n in range(9000)
    ]
    data = Profiles(sampler).take(1.0).data
    assert len(gzip.decompress(data)) > 4 * 65536
    assert [sample.values[3] for sample in pprof.decode(data).samples] == list(range(9000))


def test_without_samples_it_says_why() -> None:
    assert Profiles(NullSampler("no compiler")).reason == "no compiler"
