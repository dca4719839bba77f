"""The allocation sampler as Python sees it: the C extension with types, or a stand-in that says why not."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, cast

from heapwatch_wire.sites import Frame, Stack

from heapwatch.failures import logger
from heapwatch.instrument.hook import when_imported
from heapwatch.samplecost import measure_sample
from heapwatch.scopes import Follows, follow

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NO_LABEL = 0
STEP = 0.005
"""Seconds that a step of a walk over the heap holds the interpreter."""
OTHER_ENDPOINTS = "(other)"
OWN_WORK = "(heapwatch)"
SUPPORTED = "CPython 3.11, 3.12 and 3.13 with the GIL, whose allocations can be sampled"
NUMPY_CORE = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")

Owners: TypeAlias = list[tuple[int, object]]
"""(stack id, an object that is a block of the stack or owns one as storage)"""
NativeRow: TypeAlias = tuple[
    int, tuple[tuple[str, str, int], ...], bool, int, str, float, float, float, float
]


class Row(NamedTuple):
    """Totals of one (stack, label, thread): innermost frame first; in use now, allocated since the start."""

    stack_id: int
    frames: Stack
    truncated: bool
    label: int
    thread: str
    inuse_objects: float
    inuse_bytes: float
    alloc_objects: float
    alloc_bytes: float


class Totals(NamedTuple):
    """A Row without its frames, which `Sampler.frames` tells: most readers know them, or never ask."""

    stack_id: int
    label: int
    thread: str
    inuse_objects: float
    inuse_bytes: float
    alloc_objects: float
    alloc_bytes: float


Level: TypeAlias = tuple[int, float, float]
"""(stack id, live bytes, live objects) of a part of what lives; a stack may come several times."""
_LEVEL = Struct("=Qdd")


class Encoded(NamedTuple):
    """A profile as a pprof message without its times, and what `Sampler.give_back` needs if it gets lost."""

    message: memoryview
    allocated: bytes


class LiveSample(NamedTuple):
    """A sampled block that lives: address, size in bytes, birth (Unix seconds), label."""

    address: int
    size: int
    birth: float
    label: int


AGE_UNIT = 1 / 64
"""Seconds. Bucket 0 of `Lifetimes` holds ages below it, bucket k those from 2**(k-1) up to 2**k of it."""


class Lifetimes(NamedTuple):
    """Estimated objects and bytes of a stack by age, at which they ended or at which they live now.

    The tuples end with their last bucket that isn't zero; there are at most 24 buckets, and the last is open.
    """

    ended_objects: tuple[float, ...]
    ended_bytes: tuple[float, ...]
    live_objects: tuple[float, ...]
    live_bytes: tuple[float, ...]


NativeLifetimes: TypeAlias = tuple[
    int, tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]
]


class Walk(Protocol):
    """A walk over what the garbage collector tracks, in steps of limited time; see `_sampler.pyi`."""

    @property
    def done(self) -> bool: ...
    @property
    def seen(self) -> int: ...
    def referrers(self, targets: list[object], seconds: float) -> list[tuple[object, int, int]]: ...
    def objects(self, seconds: float) -> list[tuple[int, object]]: ...
    def census(self, stride: int, seconds: float) -> list[tuple[type, float, float, float, float]]: ...


class Native(Follows, Protocol):
    """What the C extension `heapwatch._sampler` offers."""

    def start(self, interval: int, max_depth: int, seed: int = 0) -> None: ...
    def stop(self) -> None: ...
    def set_interval(self, interval: int) -> None: ...
    def set_label(self, label: int) -> int: ...
    def export(self, since: int = 0, live: bool = False, own: int = 0) -> list[NativeRow]: ...
    def totals(
        self, live: bool = False, own: int = 0
    ) -> tuple[list[tuple[int, int, str, float, float, float, float]], float]: ...
    def levels(self, own: int) -> tuple[bytes, float]: ...
    def frames(self, stack: int) -> tuple[tuple[str, str, int], ...]: ...
    def profile(
        self, names: dict[int, str], own: int = 0, take: bool = False, peak: bool = False
    ) -> tuple[ReadableBuffer, bytes, float]: ...
    def give_back(self, allocated: bytes) -> None: ...
    def high_water(self) -> tuple[float, float] | None: ...
    def watch_arrays(self, table: object) -> str: ...
    def live_samples(self, stack: int, limit: int) -> list[tuple[int, int, float, int]]: ...
    def lifetimes(self, stacks: list[int]) -> list[NativeLifetimes]: ...
    def kept(self) -> list[tuple[str, object]]: ...
    @property
    def Walk(self) -> Callable[..., Walk]: ...
    def stats(self) -> dict[str, int | float]: ...


class Labels:
    """Names of endpoints by small integers, 1 upwards; beyond `limit` names all others share one.

    Used in the request path and across forks, so there is no lock: each step is one atomic operation.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._next = itertools.count(1)
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {NO_LABEL: ""}

    @property
    def names(self) -> dict[int, str]:
        """All names by label; to be read only."""
        return self._names

    def intern(self, name: str) -> int:
        """The label of `name`, made on first sight."""
        known = self._ids.get(name)
        if known is not None:
            return known
        if len(self._ids) >= self._limit and name != OTHER_ENDPOINTS:
            return self.intern(OTHER_ENDPOINTS)
        label = self._ids.setdefault(name, next(self._next))
        self._names[label] = name
        return label

    def name(self, label: int) -> str:
        """The name of `label`; "" for none or unknown."""
        return self._names.get(label, "")


class Sampler(Protocol):
    """What the rest of the agent asks of a sampler. `reason` says why there are no samples, else ""."""

    @property
    def reason(self) -> str: ...
    @property
    def labels(self) -> Labels: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def set_interval(self, interval: int) -> None: ...
    def sample_cost(self) -> float: ...
    def set_label(self, label: int) -> int: ...
    def export(self, live: bool = False) -> list[Row]: ...
    def totals(self, live: bool = False) -> list[Totals]: ...
    def levels(self) -> Iterator[Level]: ...
    def frames(self, stack_id: int) -> Stack: ...
    def profile(self, take: bool) -> Encoded: ...
    def peak(self) -> Encoded: ...
    def give_back(self, allocated: bytes) -> None: ...
    def high_water(self) -> tuple[float, float] | None: ...
    def live_samples(self, stack_id: int, limit: int) -> list[LiveSample]: ...
    def lifetimes(self, stack_ids: Iterable[int]) -> dict[int, Lifetimes]: ...
    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]: ...
    def stats(self) -> Mapping[str, int | float]: ...


class NativeSampler:
    """The C extension with types.

    What the agent allocates itself, under the label OWN_WORK, is no part of an export: it would be judged
    as the service's. Its size is in `stats()` as "agent_bytes".
    """

    reason = ""

    def __init__(self, native: Native, interval: int, max_depth: int, labels: Labels) -> None:
        self.labels = labels
        self.set_label = native.set_label
        self._native = native
        self._interval = interval
        self._max_depth = max_depth
        self._own_label = labels.intern(OWN_WORK)
        self._own_bytes = 0.0
        self._interval_changes = 0
        self._started = False

    def start(self) -> None:
        """Install the hooks and sample; after a stop, sample again at the interval in force.

        RuntimeError, saying why, where that is not supported.
        """
        self._native.start(self._interval, self._max_depth)
        if self._started:
            return
        self._started = True
        if not follow(self._native):
            logger.warning(
                "heapwatch: this Python keeps its contexts in an unknown way: no endpoints are told apart"
            )
        when_imported("numpy", self._watch_arrays)

    def stop(self) -> None:
        """Take no more samples."""
        self._native.stop()

    def set_interval(self, interval: int) -> None:
        """Change the mean bytes between two samples; estimates stay unbiased."""
        self._native.set_interval(interval)
        self._interval = interval
        self._interval_changes += 1

    def sample_cost(self) -> float:
        """Processor seconds that one sample costs, 0.0 while nothing is sampled; takes milliseconds."""
        native = self._native
        return measure_sample(
            native.set_interval, lambda: int(native.stats()["samples"]), int(native.stats()["interval"])
        )

    def export(self, live: bool = False) -> list[Row]:
        """Totals of each (stack, label, thread) seen so far; with `live`, of those with live memory only."""
        rows = self._native.export(live=live, own=self._own_label)
        return [Row(row[0], tuple(map(Frame._make, row[1])), *row[2:]) for row in rows]

    def totals(self, live: bool = False) -> list[Totals]:
        """As `export`, at a fraction of its cost."""
        rows, self._own_bytes = self._native.totals(live, self._own_label)
        return list(map(Totals._make, rows))

    def levels(self) -> Iterator[Level]:
        """What lives now, at a fraction of the cost of `totals`."""
        packed, self._own_bytes = self._native.levels(self._own_label)
        return _LEVEL.iter_unpack(packed)

    def frames(self, stack_id: int) -> Stack:
        """The frames of a stack; empty when it has no live memory any more and was forgotten."""
        return tuple(map(Frame._make, self._native.frames(stack_id)))

    def profile(self, take: bool) -> Encoded:
        """All that lives, with all allocations since the start; with `take`, with those since the profile
        that took them before. RuntimeError before the sampler was started."""
        names, own = self.labels.names, self._own_label
        message, allocated, self._own_bytes = self._native.profile(names, own, take)
        return Encoded(memoryview(message), allocated)

    def peak(self) -> Encoded:
        """What lived when most did, at `stats()["peak_time"]`, without allocations. RuntimeError as above."""
        message, allocated, _ = self._native.profile(self.labels.names, self._own_label, peak=True)
        return Encoded(memoryview(message), allocated)

    def give_back(self, allocated: bytes) -> None:
        """Let the next profile that takes allocations carry these again."""
        self._native.give_back(allocated)

    def high_water(self) -> tuple[float, float] | None:
        """(bytes that live now, the most that lived at once since the last call), the agent's own included.

        None while nothing is sampled. The phases ask, nobody else: asking begins anew.
        """
        return self._native.high_water()

    def _watch_arrays(self, numpy: object) -> None:
        """Runs within the application's import of numpy, so it raises nothing."""
        loaded = filter(None, map(sys.modules.get, NUMPY_CORE))
        tables = [vars(module)["_ARRAY_API"] for module in loaded if "_ARRAY_API" in vars(module)]
        reason = self._native.watch_arrays(tables[0]) if tables else "its table of C functions is missing"
        if reason:
            logger.warning("heapwatch: the buffers of numpy's arrays are not sampled: %s", reason)

    def live_samples(self, stack_id: int, limit: int) -> list[LiveSample]:
        """At most `limit` live samples of a stack, old and new ones mixed."""
        return [LiveSample(*sample) for sample in self._native.live_samples(stack_id, limit)]

    def lifetimes(self, stack_ids: Iterable[int]) -> dict[int, Lifetimes]:
        """How long blocks lived and how old the live ones are, by stack id, of a few stacks."""
        return {stack_id: Lifetimes(*ages) for stack_id, *ages in self._native.lifetimes(list(stack_ids))}

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        """At most `limit` objects of each stack that are live sampled blocks, or own one as storage.

        Each item comes after STEP seconds of looking, and may be empty. Strong references: drop them soon.
        """
        walk = self._native.Walk(list(stack_ids), limit)
        while not walk.done:
            yield [(stack_ids[number], owner) for number, owner in walk.objects(STEP)]

    def stats(self) -> Mapping[str, int | float]:
        """The sampler about itself; keys as in `_sampler.pyi`, and "interval_changes" and "agent_bytes", the
        latter as of the last totals or profile."""
        own = {"agent_bytes": self._own_bytes, "interval_changes": self._interval_changes}
        return {**self._native.stats(), **own}


class NullSampler:
    """Stands in where the extension can't be used, so that everything else of the agent works."""

    def __init__(self, reason: str, labels: Labels | None = None) -> None:
        self.reason = reason
        self.labels = Labels() if labels is None else labels

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def set_interval(self, interval: int) -> None:
        """Nothing to set."""

    def sample_cost(self) -> float:
        """Nothing is sampled."""
        return 0.0

    def set_label(self, label: int) -> int:
        """Labels nothing; returns "no label"."""
        return NO_LABEL

    def export(self, live: bool = False) -> list[Row]:
        """No rows."""
        return []

    def totals(self, live: bool = False) -> list[Totals]:
        """No rows."""
        return []

    def levels(self) -> Iterator[Level]:
        """Nothing."""
        return iter(())

    def frames(self, stack_id: int) -> Stack:
        """No frames."""
        return ()

    def profile(self, take: bool) -> Encoded:
        """RuntimeError: there is none."""
        raise RuntimeError(self.reason)

    def peak(self) -> Encoded:
        """RuntimeError: there is none."""
        raise RuntimeError(self.reason)

    def give_back(self, allocated: bytes) -> None:
        """Nothing was allocated."""

    def high_water(self) -> tuple[float, float] | None:
        """Unknown."""
        return None

    def live_samples(self, stack_id: int, limit: int) -> list[LiveSample]:
        """No samples."""
        return []

    def lifetimes(self, stack_ids: Iterable[int]) -> dict[int, Lifetimes]:
        """Nothing known."""
        return {}

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        """No objects."""
        return iter(())

    def stats(self) -> Mapping[str, int | float]:
        """Nothing known."""
        return {}


def _extension() -> Native:
    """The C extension. ImportError where it is not built or can't be loaded."""
    return cast(Native, importlib.import_module("heapwatch._sampler"))


def objects_within(stack_id: int, limit: int, budget: float) -> list[object]:
    """At most `limit` objects of a stack, as `Sampler.owners` has them, after at most `budget` seconds of CPU
    in which everything else stands still. ImportError without the extension."""
    search = _extension().Walk([stack_id], limit)
    rounds = (search.objects(budget / 2) for _ in range(2) if not search.done)
    return list({id(owner): owner for found in rounds for _, owner in found}.values())


def kept() -> list[tuple[str, object]]:
    """What the interpreter itself keeps: (name of the function that it was given by, object). ImportError
    without the extension."""
    return _extension().kept()


def walk() -> Walk:
    """A walk over all objects. ImportError without the extension."""
    return _extension().Walk()


def supported(implementation: str, version: tuple[int, int], without_gil: bool) -> bool:
    """Whether the extension knows how such a Python lays out its memory."""
    return implementation == "cpython" and (3, 11) <= version <= (3, 13) and not without_gil


def unavailable() -> str:
    """Why this Python can't load the extension, and what to do; "" where it can."""
    mend = "reinstall heapwatch where there is a C compiler"
    if not supported(sys.implementation.name, sys.version_info[:2], "t" in sys.abiflags):
        return f"this Python ({sys.version.split()[0]}) is none of {SUPPORTED}: run one of these"
    try:
        native = _extension()
    except ImportError as error:
        return f"the C extension can't be loaded ({error}): {mend}"
    if not hasattr(native, "export"):  # the folder of the C sources, found as a namespace package
        return f"the C extension is not built: {mend}"
    return ""


def open_sampler(interval: int, max_depth: int, labels: Labels | None = None) -> Sampler:
    """A started sampler with `interval` mean bytes between samples; a NullSampler where it can't run.

    `labels` are those of an earlier sampler of this process, whose samples live on.
    """
    labels = Labels() if labels is None else labels
    reason = unavailable()
    if reason:
        return NullSampler(reason, labels)
    sampler = NativeSampler(_extension(), interval, max_depth, labels)
    try:
        sampler.start()
    except (RuntimeError, ValueError) as error:
        return NullSampler(str(error), labels)
    return sampler
