"""Chains of references as text, and many of them merged into a few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from heapwatch_wire.evidence import Holder

from heapwatch.leaks.references import Step
from heapwatch.leaks.roots import Root

MAX_HOLDERS = 8
MANY_ROOTS = 4
LEAST_ALIKE = 4
LONGEST_RUN = 6
REPEATED_INDEX = 6
REPEATED_TYPE = 3


class Part(NamedTuple):
    """A step of a path: how it reads, how it reads for many alike, and whether the steps up to it repeat."""

    text: str
    general: str
    repeated: bool = False


@dataclass(frozen=True)
class Chain:
    """What holds one sample: a root, the steps from it down to the sample, the types on the way."""

    root: Root
    steps: tuple[Step, ...]
    types: tuple[str, ...]

    def path(self) -> list[tuple[str, str]]:
        """(text, general text) of each step."""
        parts = []
        below = self.root.below
        for step in self.steps:
            parts.append(_read(step, below))
            below = step.below
        return parts

    def folded(self) -> list[Part]:
        """The steps, of a linked list one link. Whether an instance has a `__dict__` of its own, or its
        attributes inline, isn't one."""
        return _folded([part for part in self.path() if any(part)])


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

    Chains that differ in keys and indices only are one; where they differ, it reads `[*]`. So are chains of
    different length through a linked list, whose repetition reads "…", and those from many modules, classes
    or threads alike, whose names read with "*".
    """
    groups: dict[tuple[object, ...], list[Chain]] = defaultdict(list)
    for chain in chains:
        groups[chain.root.kind, chain.root.name, tuple(part.general for part in chain.folded())].append(chain)
    alike: dict[tuple[object, ...], list[list[Chain]]] = defaultdict(list)
    for (kind, _, *rest), group in groups.items():
        alike[kind, *rest].append(group)
    merged = [some for same in alike.values() for some in _of_many_roots(same)]
    largest = sorted(merged, key=len, reverse=True)
    return [_holder(group, len(group) / len(chains)) for group in largest[:MAX_HOLDERS]]


def _of_many_roots(groups: list[list[Chain]]) -> list[list[Chain]]:
    """The groups, which differ in their roots only, as one when there are many and their names are alike."""
    if len(groups) < MANY_ROOTS or len(_pattern([group[0].root.name for group in groups])) < LEAST_ALIKE:
        return groups
    return [[chain for group in groups for chain in group]]


def _pattern(names: Sequence[str]) -> str:
    """What is common to the beginnings and the ends of different names, "*" for the rest."""
    shortest = min(map(len, names))
    start = next((i for i in range(shortest) if len({name[i] for name in names}) > 1), shortest)
    rest = shortest - start
    end = next((i for i in range(rest) if len({name[-1 - i] for name in names}) > 1), rest)
    return f"{names[0][:start]}*{names[0][len(names[0]) - end :]}"


def _folded(parts: Sequence[tuple[str, str]], named: int = 2) -> list[Part]:
    """(text, general text) of each part, without the repetitions of runs that come several times in a row."""
    found: list[Part] = []
    at = 0
    while at < len(parts):
        run = next((p for p in range(1, LONGEST_RUN + 1) if _is_list(parts, at, p, named)), 0)
        if not run:
            found.append(Part(*parts[at]))
            at += 1
            continue
        found += [Part(*part) for part in parts[at : at + run - 1]]
        found.append(Part(*parts[at + run - 1], repeated=True))
        at += run * _times(parts, at, run)
    return found


def _is_list(parts: Sequence[tuple[str, str]], at: int, run: int, named: int) -> bool:
    """Whether the `run` parts from `at` on repeat as the links of a list do: by index more often than by
    name, for nested sequences are common."""
    by_name = any(character.isalpha() for text, _ in parts[at : at + run] for character in text)
    return _times(parts, at, run) >= (named if by_name else REPEATED_INDEX)


def _times(parts: Sequence[object], at: int, run: int) -> int:
    """How often the `run` parts from `at` on come in a row."""
    first, count = parts[at : at + run], 1
    while len(first) == run and parts[at + count * run : at + (count + 1) * run] == first:
        count += 1
    return count


def _holder(group: Sequence[Chain], share: float) -> Holder:
    names = {chain.root.name: None for chain in group}
    name = _pattern(list(names)) if len(names) > 1 else next(iter(names))
    steps = "".join(map(_read_alike, zip(*(chain.folded() for chain in group), strict=True)))
    return Holder((name + steps).removeprefix(": "), group[0].root.kind, _types(group), share)


def _read_alike(parts: Sequence[Part]) -> str:
    """How a step reads that is in several chains."""
    text = parts[0].text if len({part.text for part in parts}) == 1 else parts[0].general
    return text + "…" * any(part.repeated for part in parts)


def _types(group: Sequence[Chain]) -> tuple[str, ...]:
    """The types on the way; classes made at run time by what their names have in common."""
    ways = {
        tuple(p.text + " > …" * p.repeated for p in _folded([(t, t) for t in c.types], REPEATED_TYPE)): None
        for c in group
    }
    first = next(iter(ways))
    if len({len(way) for way in ways}) > 1:
        return first
    return tuple(some[0] if len(set(some)) == 1 else _pattern(some) for some in zip(*ways, strict=True))
