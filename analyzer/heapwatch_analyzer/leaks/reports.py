"""Joins what the agents found inside their processes: types and what holds the objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from heapwatch_wire.evidence import Evidence, Holder, Share

from ..recommendations import container

MOST_HOLDERS = 5


def holders(reports: Sequence[Evidence]) -> tuple[Holder, ...]:
    """The holder chains of all `reports`, merged by what holds (keys may differ), largest share first.

    A share is the mean over the reports that found any holder.
    """
    found = [r for r in reports if r.holders]
    shares: dict[tuple[str, str], float] = defaultdict(float)
    example: dict[tuple[str, str], Holder] = {}
    for holder in (h for r in found for h in r.holders):
        key = (holder.root, container(holder))
        shares[key] += holder.share / len(found)
        if key not in example or holder.share > example[key].share:
            example[key] = holder
    ranked = sorted(shares, key=lambda key: -shares[key])
    return tuple(replace(example[key], share=min(1.0, shares[key])) for key in ranked[:MOST_HOLDERS])


def main_type(reports: Iterable[Evidence]) -> str:
    """The type that holds most of the live bytes of `reports`; "" when none found one."""
    weight: dict[str, float] = defaultdict(float)
    for report in reports:
        if report.type:
            weight[report.type] += max(report.live_bytes, 1.0)
    return max(weight, key=weight.__getitem__, default="")


def main_kind(reports: Iterable[Evidence]) -> Literal["python", "native", "cycle"]:
    """The kind that most of the live bytes of `reports` are of."""
    weight: dict[Literal["python", "native", "cycle"], float] = defaultdict(float)
    for report in reports:
        weight[report.kind] += max(report.live_bytes, 1.0)
    return max(weight, key=weight.__getitem__) if weight else "python"


def endpoints(reports: Sequence[Evidence]) -> tuple[Share, ...]:
    """Mean shares of the endpoints in `reports`, largest first."""
    found = [r for r in reports if r.endpoints]
    shares: dict[str, float] = defaultdict(float)
    for share in (e for r in found for e in r.endpoints):
        shares[share.name] += share.share / len(found)
    return tuple(Share(name, shares[name]) for name in sorted(shares, key=lambda name: -shares[name]))
