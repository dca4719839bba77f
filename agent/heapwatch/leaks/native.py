"""Growth that no line of Python explains: where in the process it is, and who may make it.

What Python's allocators have given out is known from the sampler; what the process has taken in all, by its
parts, from the kernel and the allocators (`heapwatch.memory`). What the second grows by more than the first
is C code's, or is fragmentation. Which library asks for it is known in native mode only.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import pairwise

from heapwatch_wire.sites import Frame, is_installed
from heapwatch_wire.trend import fit, noise_of, slope_of

from heapwatch.memory.breakdown import Breakdown
from heapwatch.sampler import Sampler

EVERY = 20.0
POINTS = 90
LEAST_SPAN = 120.0
LEAST_POINTS = 6
LEAST_RISE = 4 << 20
LEAST_OF_RSS = 0.02
SURE = 3.0
SURE_95 = 1.96
STEADY = 0.25
PYTHON = "Python's blocks"
IN_USE = ("pymalloc used", "malloc used", "malloc mapped", "unexplained")
MODULES_SHOWN = 6


@dataclass(frozen=True)
class NativeGrowth:
    """Bytes per second over the last `seconds`: of RSS, of what Python has allocated, of the rest of what is
    in use (`native`, known to +-`margin` at 95%), and of each part of RSS. `native_mode` says whether C
    code's memory is among the sites. `levels` are the parts' bytes now, `series` the rest in use over time.
    """

    seconds: float
    rss: float
    python: float
    native: float
    margin: float
    parts: Mapping[str, float]
    levels: Mapping[str, float]
    series: tuple[tuple[float, float], ...]
    modules: tuple[str, ...]
    native_mode: bool


class NativeWatch:
    """Looks at the parts of RSS now and then, and says when they grow by more than Python accounts for.

    Keeps POINTS readings: half an hour of them, or more where a reading is too dear to be had as often.
    """

    def __init__(self, memory: Callable[[], Breakdown | None], sampler: Sampler) -> None:
        self._memory = memory
        self._sampler = sampler
        self._last: Breakdown | None = None
        self._points: deque[tuple[float, dict[str, float]]] = deque(maxlen=POINTS)

    def observe(self, now: float) -> None:
        """Take a reading at `now`, Unix seconds."""
        if self._sampler.reason:
            return
        breakdown = self._memory()
        if breakdown is None or breakdown is self._last or not breakdown.parts:
            return
        self._last = breakdown
        levels: dict[str, float] = {**breakdown.parts, "rss": breakdown.rss}
        levels[PYTHON] = float(self._sampler.stats().get("live_bytes", 0.0))
        self._points.append((now, levels))

    def growth(self) -> NativeGrowth | None:
        """What grows beyond Python's allocations; None when nothing does, or not long or steadily enough."""
        points = list(self._points)
        if len(points) < LEAST_POINTS or points[-1][0] - points[0][0] < LEAST_SPAN:
            return None
        times = [time for time, _ in points]
        native = [sum(levels.get(part, 0.0) for part in IN_USE) - levels[PYTHON] for _, levels in points]
        line = fit(times, native, noise_of(native))
        rate = line.slope
        span = times[-1] - times[0]
        if rate * span < self._least(points[-1][1]) or not _steady(times, native, rate):
            return None
        names = dict.fromkeys(name for _, levels in points for name in levels)
        rates = {n: slope_of(times, [levels.get(n, 0.0) for _, levels in points]) for n in names}
        rss, python = rates.pop("rss"), rates.pop(PYTHON)
        return NativeGrowth(
            seconds=span,
            rss=rss,
            python=python,
            native=rate,
            margin=SURE_95 * line.error,
            parts=dict(sorted(rates.items(), key=lambda item: -abs(item[1]))),
            levels={name: points[-1][1].get(name, 0.0) for name in rates},
            series=tuple(zip(times, native, strict=True)),
            modules=suspects(self._sampler),
            native_mode=bool(self._sampler.stats().get("native", 0)),
        )

    def _least(self, levels: Mapping[str, float]) -> float:
        """Bytes that it must have grown by: more than chance in the samples makes."""
        interval = float(self._sampler.stats().get("interval", 0) or 0)
        noise = SURE * math.sqrt(2.0 * interval * max(0.0, levels[PYTHON]))
        return max(LEAST_RISE, LEAST_OF_RSS * levels["rss"], noise)


def _steady(times: Sequence[float], values: Sequence[float], rate: float) -> bool:
    """Whether each third of the time has its part of the rise: a start-up or a single step is no growth."""
    cuts = [0, len(times) // 3, 2 * len(times) // 3, len(times) - 1]
    thirds = [(values[b] - values[a], times[b] - times[a]) for a, b in pairwise(cuts)]
    return all(rise >= STEADY * rate * seconds for rise, seconds in thirds)


def suspects(sampler: Sampler) -> tuple[str, ...]:
    """Installed packages with extension modules, those first on whose lines most is allocated."""
    native = set(extension_packages())
    called: Counter[str] = Counter()
    for totals in sampler.totals():
        for frame in sampler.frames(totals.stack_id):
            package = _package(frame)
            if package in native:
                called[package] += 1 + int(totals.alloc_bytes)
                break
    ordered = [package for package, _ in called.most_common()]
    return tuple([*ordered, *sorted(native - called.keys())][:MODULES_SHOWN])


def extension_packages(modules: Mapping[str, object] | None = None) -> Iterable[str]:
    """Top-level names of the loaded extension modules that aren't part of Python or of the agent."""
    for name, module in list((sys.modules if modules is None else modules).items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        of_others = type(file) is str and "lib-dynload" not in file and top != "heapwatch"
        if of_others and str(file).endswith(tuple(EXTENSION_SUFFIXES)):
            yield top


def _package(frame: Frame) -> str:
    """The top-level name of the installed package that a frame is of; "" for none."""
    if not is_installed(frame):
        return ""
    return frame.file.partition("-packages/")[2].partition("/")[0].removesuffix(".py")
