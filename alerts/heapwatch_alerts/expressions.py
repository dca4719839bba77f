"""The language in which rules say what they judge: a small, typed part of PromQL.

An expression is a tree of frozen dataclasses. `promql()` writes it for Prometheus and
`heapwatch_alerts.evaluation` computes it on the embedded evaluator's own history: one meaning, two
readers. Only what the rules need is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from heapwatch_wire.metric import Metric

Part = Literal["", "bucket", "sum", "count"]

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: int) -> str:
    """`seconds` in Prometheus' spelling, such as 5m or 90s."""
    return next(f"{seconds // size}{unit}" for unit, size in _UNITS if seconds % size == 0)


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one label; `=~` matches the whole value, as in PromQL. Absent is the empty string."""

    label: str
    operator: Literal["=", "=~"]
    value: str

    def matches(self, value: str) -> bool:
        if self.operator == "=":
            return value == self.value
        return re.fullmatch(self.value, value) is not None

    def promql(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.label}{self.operator}"{escaped}"'


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one metric that fit all matchers. `part` names a histogram's page series."""

    metric: Metric
    where: tuple[Matcher, ...] = ()
    part: Part = ""

    @property
    def name(self) -> str:
        return f"{self.metric.prometheus}_{self.part}" if self.part else self.metric.prometheus

    def promql(self) -> str:
        matchers = ",".join(m.promql() for m in self.where)
        return f"{self.name}{{{matchers}}}" if matchers else self.name


@dataclass(frozen=True, slots=True)
class Last:
    """The newest value of each series."""

    of: Series
    window: int = field(default=0, init=False)

    def promql(self) -> str:
        return self.of.promql()


@dataclass(frozen=True, slots=True)
class Over:
    """A function of each series' values in the last `window` seconds.

    "rate" and "increase" are for counters (per second, and in the window; resets are seen and the
    ends extrapolated); "deriv" is the slope of the least-squares line of a gauge, per second.
    """

    function: Literal["rate", "increase", "deriv"]
    of: Series
    window: int

    def promql(self) -> str:
        return f"{self.function}({self.of.promql()}[{duration(self.window)}])"


@dataclass(frozen=True, slots=True)
class Group:
    """One value per combination of the labels `by`."""

    function: Literal["sum", "max", "min"]
    by: tuple[str, ...]
    of: Last | Over

    def promql(self) -> str:
        return f"{self.function} by ({', '.join(self.by)}) ({self.of.promql()})"


@dataclass(frozen=True, slots=True)
class Quantile:
    """The `q` quantile of a histogram's observations in the last `window` seconds, by the labels `by`."""

    q: float
    by: tuple[str, ...]
    metric: Metric
    window: int
    where: tuple[Matcher, ...] = ()

    @property
    def buckets(self) -> Group:
        rates = Over("rate", Series(self.metric, self.where, "bucket"), self.window)
        return Group("sum", (*self.by, "le"), rates)

    def promql(self) -> str:
        return f"histogram_quantile({self.q:g}, {self.buckets.promql()})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Left over right, for the groups that both have. Both must be grouped by the same labels."""

    left: Group
    right: Group

    def __post_init__(self) -> None:
        if self.left.by != self.right.by:
            raise ValueError(f"a ratio needs equal groups, not {self.left.by} and {self.right.by}")

    @property
    def by(self) -> tuple[str, ...]:
        return self.left.by

    def promql(self) -> str:
        return f"{self.left.promql()} / {self.right.promql()}"


Expression = Group | Quantile | Ratio


@dataclass(frozen=True, slots=True)
class Comparison:
    """Keeps the groups whose value is greater (">") or less ("<") than `value`."""

    of: Expression
    operator: Literal[">", "<"]
    value: float

    def holds(self, value: float) -> bool:
        return value > self.value if self.operator == ">" else value < self.value

    def promql(self) -> str:
        return f"{self.of.promql()} {self.operator} {number(self.value)}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Groups for which `judged` holds, and each guard in `only_if`; `judged` gives the alert's value."""

    judged: Comparison
    only_if: tuple[Comparison, ...] = ()

    def __post_init__(self) -> None:
        for guard in self.only_if:
            if guard.of.by != self.by:
                raise ValueError(f"a guard needs equal groups, not {guard.of.by} and {self.by}")

    @property
    def by(self) -> tuple[str, ...]:
        return self.judged.of.by

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (self.judged, *self.only_if)

    def promql(self) -> str:
        return " and ".join(c.promql() for c in self.comparisons)

    def selections(self) -> Iterator[tuple[Series, int]]:
        """The series that the condition reads, each with how many seconds back (0: the newest value)."""
        for comparison in self.comparisons:
            for group in groups(comparison.of):
                yield group.of.of, group.of.window


def groups(expression: Expression) -> tuple[Group, ...]:
    """The groups at the leaves of `expression`."""
    if isinstance(expression, Ratio):
        return (expression.left, expression.right)
    return (expression.buckets,) if isinstance(expression, Quantile) else (expression,)


def number(value: float) -> str:
    """`value` as PromQL and YAML read it back exactly, whole numbers without a fraction."""
    return str(int(value)) if value == int(value) else repr(value)
