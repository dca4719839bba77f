"""`heapwatch diff`: what grew and shrank, and how sure that is."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import pstdev
from typing import Any

import pytest
from heapwatch.report.diff import Comparison
from heapwatch_wire.pprof import Profile, Sample
from heapwatch_wire.sites import Frame

MIB = 1 << 20
SITE = Frame("keep", "/srv/shop/app.py", 5)


def test_sites_are_ordered_by_change(profile: Profile, grown: Profile, save: Any, call: Any) -> None:
    code, out, _ = call("diff", save(profile, "a.pb.gz"), save(grown, "b.pb.gz"))
    assert code == 0
    assert out.splitlines()[0] == "inuse_space: 6.00 MiB before, 8.00 MiB after, +2.00 MiB"
    first, second = (line.split() for line in out.splitlines()[3:5])
    # The standard library's decoder works for load: load's line is named.
    assert (first[:2], first[-3:]) == (["+3.00", "MiB"], ["+20", "load", "(/srv/shop/app.py:20)"])
    assert (second[:2], second[-3:]) == (["-1.00", "MiB"], ["-10", "Session.query", "(orm/session.py:7)"])


def test_json_has_exact_values(
    profile: Profile, grown: Profile, save: Any, call: Any, tmp_path: Path
) -> None:
    files = save(profile, "a.pb.gz"), save(grown, "b.pb.gz")
    document = json.loads(call("diff", *files, "--json")[1])
    assert (document["before"], document["after"]) == (6 * MIB, 8 * MIB)
    load = document["sites"][0]
    assert (load["before"], load["after"], load["change"]) == (2 * MIB, 5 * MIB, 3 * MIB)
    assert (load["before_objects"], load["after_objects"]) == (16, 36)
    assert call("diff", *files, "-o", str(tmp_path / "d.json"))[0] == 0
    assert json.loads((tmp_path / "d.json").read_text()) == document


def test_nothing_changed_is_said(profile: Profile, save: Any, call: Any) -> None:
    assert "nothing changed" in call("diff", save(profile), save(profile))[1]


def test_profiles_without_a_common_type_are_refused(profile: Profile, save: Any, call: Any) -> None:
    cpu = Profile(sample_types=(("cpu", "nanoseconds"),))
    code, _, err = call("diff", save(cpu, "a.pb.gz"), save(profile, "b.pb.gz"))
    assert code == 1
    assert "can't be compared" in err
    assert call("diff", save(profile), save(profile), "-o", "x.svg")[0] == 1


@pytest.mark.parametrize("size", [64, 4096, 65536, 300_000])
def test_the_error_is_that_of_sampling(size: int) -> None:
    """Many pairs of sampled profiles of the same heap: their differences spread as far as the error says."""
    interval, blocks, draws = 65536, 8 * MIB // size, random.Random(4)
    p = -math.expm1(-size / interval)

    def sampled() -> Profile:
        taken = (
            sum(draws.random() < p for _ in range(blocks)) if blocks < 3000 else _binomial(draws, blocks, p)
        )
        values = (0, 0, round(taken / p), round(taken * size / p))
        return Profile(samples=(Sample((SITE,), values),), period=interval)

    changes = [Comparison(sampled(), sampled()).changes()[0] for _ in range(400)]
    spread = pstdev(change.value for change in changes)
    said = _mean([change.error for change in changes]) / 1.96
    assert spread == pytest.approx(said, rel=0.15, abs=1)


def _binomial(draws: random.Random, n: int, p: float) -> int:
    return max(0, round(draws.gauss(n * p, math.sqrt(n * p * (1 - p)))))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
