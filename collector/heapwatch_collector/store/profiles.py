"""Queries on profiles: stacks merged over a range, values over time, labels, types.

A state (inuse_*) is averaged over the profiles of each series, then summed over series: its sum over time
would mean nothing. Everything else is an amount per profile (alloc_*, cpu) and is summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heapwatch_wire.sites import Frame, Stack

from heapwatch_collector.store.conditions import Conditions, LabelMatcher
from heapwatch_collector.store.engine import Store

SAMPLE_LABELS = ("endpoint", "thread")
PROFILE_TYPE = "__profile_type__"


@dataclass(frozen=True)
class Selection:
    """Samples of profile type `type` that fit `matchers`, in [start, end] (Unix ms)."""

    type: str
    matchers: tuple[LabelMatcher, ...]
    start: int
    end: int


def is_state(type_id: str) -> bool:
    """Whether values of this profile type say what is now, not what happened since the last profile."""
    return type_id.split(":")[1].startswith("inuse_")


def stack_totals(store: Store, selection: Selection) -> list[tuple[Stack, int]]:
    """(frames innermost first, value) of all stacks in the selection."""
    conditions = Conditions()
    samples = f"FROM samples {_samples(conditions, selection)}"
    if is_state(selection.type):
        pushes = f"FROM profiles {_pushes(conditions, selection)}"
        sql = (
            "SELECT stack, sum(value / pushes) AS total "
            f"FROM (SELECT series, stack, value {samples}) AS s "
            f"INNER JOIN (SELECT series, count() AS pushes {pushes} GROUP BY series) AS c "
            "ON c.series = s.series GROUP BY stack"
        )
    else:
        sql = f"SELECT stack, sum(value) AS total {samples} GROUP BY stack"
    totals = {stack: round(total) for stack, total in store.rows(sql, conditions.parameters)}
    stacks = load_stacks(store, totals)
    return [(stacks[i], total) for i, total in totals.items() if total and i in stacks]


def values_over_time(
    store: Store, selection: Selection, step: int, group_by: Sequence[str], average: bool
) -> list[tuple[tuple[str, ...], list[tuple[int, float]]]]:
    """(values of the labels in `group_by`, [(Unix ms, value), ...]) per group, in time order.

    A point stands at the end of its step of `step` ms. `average`: over the profiles of a series in a step
    (then summed over series), else summed.
    """
    conditions = Conditions()
    first, width = conditions.bind(selection.start, "Int64"), conditions.bind(step, "Int64")
    bucket = f"{first} + intDiv(toUnixTimestamp64Milli(ts) - {first} + {width} - 1, {width}) * {width}"
    own = [label for label in group_by if label in SAMPLE_LABELS]
    samples = (
        f"SELECT {', '.join(['series', f'{bucket} AS at', *own])}, sum(value) AS total "
        f"FROM samples {_samples(conditions, selection)} GROUP BY ALL"
    )
    pushes = (
        f"SELECT series, {bucket} AS at, count() AS pushes "
        f"FROM profiles {_pushes(conditions, selection)} GROUP BY series, at"
    )
    where = _series(conditions, selection.matchers)
    owners = f"SELECT id, any(labels) AS named FROM series WHERE {where} GROUP BY id"
    group = ", ".join(g if g in own else f"named[{conditions.bind(g)}]" for g in group_by) or "''"
    value = "total / pushes" if average else "total"
    sql = (
        f"SELECT [{group}] AS labelled, s.at AS time, sum({value}) FROM ({samples}) AS s "
        f"INNER JOIN ({pushes}) AS p ON p.series = s.series AND p.at = s.at "
        f"INNER JOIN ({owners}) AS o ON o.id = s.series "
        "GROUP BY labelled, time ORDER BY labelled, time"
    )
    groups: dict[tuple[str, ...], list[tuple[int, float]]] = {}
    for values, time, amount in store.rows(sql, conditions.parameters):
        groups.setdefault(tuple(values), []).append((time, amount))
    return list(groups.items())


def profile_types(store: Store, start: int, end: int) -> list[str]:
    """The profile types seen in [start, end], sorted."""
    conditions = Conditions()
    conditions.during(start, end)
    sql = f"SELECT DISTINCT arrayJoin(types) AS type FROM profiles {conditions.where} ORDER BY type"
    return [row[0] for row in store.rows(sql, conditions.parameters)]


def label_sets(
    store: Store, matchers: Iterable[Sequence[LabelMatcher]], start: int, end: int
) -> list[dict[str, str]]:
    """The labels of each series with a profile in [start, end] that fits one of the selectors in `matchers`.

    One set per series and profile type, which is the label `__profile_type__`.
    """
    conditions = Conditions()
    conditions.during(start, end)
    alternatives = []
    for selector in matchers:
        one = conditions.beside()
        for matcher in selector:
            one.matches(_label_column(one, matcher.name), matcher)
        alternatives.append(f"({one.text})")
    sql = (
        "SELECT DISTINCT labels, type FROM "
        f"(SELECT DISTINCT series, arrayJoin(types) AS type FROM profiles {conditions.where}) AS p "
        "INNER JOIN (SELECT id, any(labels) AS labels FROM series WHERE signal = 'profile' GROUP BY id) AS l "
        f"ON l.id = p.series WHERE {' OR '.join(alternatives) or '1'}"
    )
    rows = store.rows(sql, conditions.parameters)
    return [{**labels, PROFILE_TYPE: kind} for labels, kind in rows]


def sample_label_values(
    store: Store, label: str, matchers: Iterable[Sequence[LabelMatcher]], start: int, end: int
) -> list[str]:
    """The values of a sample label (endpoint, thread) in [start, end] among what fits one of the selectors in
    `matchers`, sorted."""
    if label not in SAMPLE_LABELS:
        raise ValueError(label)
    conditions = Conditions()
    selectors = [_labelled(conditions, selector, start, end).text for selector in list(matchers) or [()]]
    where = f"{label} != '' AND ({' OR '.join(selectors)})"
    sql = f"SELECT DISTINCT {label} FROM samples WHERE {where} ORDER BY {label}"
    return [row[0] for row in store.rows(sql, conditions.parameters)]


def load_stacks(store: Store, ids: Iterable[int]) -> dict[int, Stack]:
    """The frames of the stacks `ids`, innermost first."""
    wanted = list(ids)
    if not wanted:
        return {}
    sql = "SELECT id, functions, files, lines FROM stacks WHERE id IN {ids:Array(UInt64)} LIMIT 1 BY id"
    return {
        number: tuple(map(Frame, functions, files, lines))
        for number, functions, files, lines in store.rows(sql, {"ids": wanted})
    }


def _label_column(conditions: Conditions, name: str) -> str:
    return "type" if name == PROFILE_TYPE else f"labels[{conditions.bind(name)}]"


def _series(conditions: Conditions, matchers: Sequence[LabelMatcher]) -> str:
    """Conditions on the table `series`."""
    own = conditions.beside()
    own.add("signal = 'profile'")
    for matcher in matchers:
        if matcher.name not in (*SAMPLE_LABELS, PROFILE_TYPE):
            own.matches(f"labels[{own.bind(matcher.name)}]", matcher)
    return own.text


def _samples(conditions: Conditions, selection: Selection) -> str:
    """WHERE for the table `samples`."""
    own = _labelled(conditions, selection.matchers, selection.start, selection.end)
    own.equals("type", selection.type)
    return own.where


def _labelled(conditions: Conditions, matchers: Sequence[LabelMatcher], start: int, end: int) -> Conditions:
    """Conditions on the table `samples`, whatever the type unless a matcher names it."""
    own = _ranged(conditions, matchers, start, end)
    for matcher in matchers:
        if matcher.name in SAMPLE_LABELS:
            own.matches(matcher.name, matcher)
        elif matcher.name == PROFILE_TYPE:
            own.matches("type", matcher)
    return own


def _pushes(conditions: Conditions, selection: Selection) -> str:
    """WHERE for the table `profiles`: the pushes that carried the type."""
    own = _ranged(conditions, selection.matchers, selection.start, selection.end)
    own.add(f"has(types, {own.bind(selection.type)})")
    return own.where


def _ranged(conditions: Conditions, matchers: Sequence[LabelMatcher], start: int, end: int) -> Conditions:
    own = conditions.beside()
    for matcher in matchers:
        # Lets ClickHouse use the sorting key, which the labels in `series` would not.
        if matcher.name == "service_name" and matcher.op == "=":
            own.equals("service", matcher.value)
    own.during(start, end)
    own.add(f"series IN (SELECT id FROM series WHERE {_series(conditions, matchers)})")
    return own
