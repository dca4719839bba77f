"""Chains of references as text, and many of them merged into a few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from heapwatch_wire.evidence import Holder

from heapwatch.leaks.references import Step
from heapwatch.leaks.roots import Root

MAX_HOLDERS = 8


@dataclass(frozen=True)
class Chain:
    """What holds one sample: a root, the steps from it down to the sample, the types on the way."""

    root: Root
    steps: tuple[Step, ...]
    types: tuple[str, ...]

    def path(self) -> list[tuple[str, str]]:
        """(text, general text) of the root and of each step."""
        parts = [(self.root.name, self.root.name)]
        below = self.root.below
        for step in self.steps:
            parts.append(_read(step, below))
            below = step.below
        return parts


def _read(step: Step, below: tuple[str, ...] | None) -> tuple[str, str]:
    """The texts of `step` under one that says how it reads."""
    inner = step.text[1:-1]
    if below == () and inner[:1] == "'" and inner[1:-1].isidentifier():
        return f".{inner[1:-1]}", f".{inner[1:-1]}"
    if below and inner.isdecimal() and int(inner) < len(below):
        return below[int(inner)], below[int(inner)]
    return step.text, step.general


def merge(chains: Sequence[Chain]) -> list[Holder]:
    """Holders with their share of `chains`, the largest first.

    Chains that differ in keys and indices only are one; where they differ, it reads `[*]`.
    """
    groups: dict[tuple[object, ...], list[Chain]] = defaultdict(list)
    for chain in chains:
        general = tuple(text for _, text in chain.path())
        groups[chain.root.kind, general, chain.types].append(chain)
    largest = sorted(groups.values(), key=len, reverse=True)
    return [_holder(group, len(group) / len(chains)) for group in largest[:MAX_HOLDERS]]


def _holder(group: Sequence[Chain], share: float) -> Holder:
    columns = zip(*(chain.path() for chain in group), strict=True)
    path = "".join(c[0][0] if len({text for text, _ in c}) == 1 else c[0][1] for c in columns)
    return Holder(path, group[0].root.kind, group[0].types, share)
