"""The evidence document on growth that no line of Python explains."""

from __future__ import annotations

from collections.abc import Iterator

from heapwatch_wire.evidence import Evidence, Growth, Part, Point
from heapwatch_wire.native import advice, outside_site

from heapwatch.identity import Identity
from heapwatch.leaks.native import LEAST_SPAN, NativeGrowth, NativeWatch
from heapwatch.memory.breakdown import PARTS

SHOWN = 0.05
"""A part is named in the reasons if it grows by so much of the whole."""
MIB = 1 << 20


class Outside:
    """What `watch` sees, as documents of the process that is `identity`."""

    def __init__(self, watch: NativeWatch, identity: Identity) -> None:
        self._watch = watch
        self._identity = identity

    def documents(self, now: float) -> list[Evidence]:
        """One document while memory grows beyond Python's allocations, else none; `now` in Unix seconds."""
        growth = self._watch.growth()
        return [] if growth is None else [self._document(growth, now)]

    def _document(self, growth: NativeGrowth, now: float) -> Evidence:
        return Evidence(
            verdict="suspicion",
            service=self._identity.service,
            version=self._identity.version,
            site=outside_site(),
            type="",
            live_bytes=max(0.0, growth.series[-1][1]),
            live_objects=0.0,
            growth=Growth(growth.native, growth.native - growth.margin, growth.native + growth.margin, 0.0),
            time=now,
            series=tuple(Point(time, max(0.0, size), 0.0) for time, size in growth.series),
            statistics={"span": growth.seconds, "rss": growth.rss, "python": growth.python},
            thresholds={"span": LEAST_SPAN},
            reasons=tuple(_reasons(growth)),
            recommendation=advice(growth.native_mode, growth.modules),
            kind="native",
            parts=tuple(_parts(growth)),
            suspects=growth.modules,
        )


def _reasons(growth: NativeGrowth) -> Iterator[str]:
    yield (
        f"over {growth.seconds / 60:.0f} min RSS grows by {_rate(growth.rss)}; sampled lines of Python make "
        f"{_rate(growth.python)} of it, {_rate(growth.native)} aren't theirs"
    )
    least = SHOWN * growth.native
    yield "by part: " + ", ".join(f"{n} {_rate(r)}" for n, r in growth.parts.items() if abs(r) > least)
    if growth.native_mode:
        yield "what C code asks of malloc is sampled, too: this is fragmentation, or mapped past malloc"
    else:
        yield "memory that C code asks of malloc isn't sampled: native mode is off"


def _parts(growth: NativeGrowth) -> Iterator[Part]:
    for name, rate in sorted(growth.parts.items(), key=lambda item: -item[1]):
        yield Part(name, growth.levels[name], rate, PARTS.get(name, ""))


def _rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second * 60 / MIB:+.2f} MiB a minute"
