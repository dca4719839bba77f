"""The in-process allocation sampler (C extension).

Samples memory that Python allocates in its object, memory and raw domains, and in native mode (the process
was started with libheapwatch_native.so in LD_PRELOAD) what any code asks of the C allocator. Each byte is a
sample point with probability 1/interval, and each sampled block stands for the blocks like it, so every
figure is an unbiased estimate.
"""

from contextvars import ContextVar
from typing import Any, TypeAlias, TypedDict

Frame: TypeAlias = tuple[str, str, int]
"""(qualified function name, file, line). In native mode memory that native code asked of the C allocator has
an innermost frame (function, executable or shared library, 0) that names who asked: on top of the Python
stack when the thread held the GIL, else alone. The function is "[native]" in an executable, and where the
library doesn't export it. Memory that the interpreter itself asked for has none.

Stacks of one frame with a name in brackets and no file: "[outside Python code]" (the GIL was held but no
Python code ran), "[raw]" (asked of the raw domain without the GIL), "[stack table full]"."""

Row: TypeAlias = tuple[int, tuple[Frame, ...], bool, int, str, float, float, float, float]
"""(stack id, frames innermost first, truncated, label, thread name, live objects, live bytes, allocated
objects, allocated bytes). Allocated figures count from the first start, in a forked child from the fork. When
the tables grow large, stacks without live memory are given up after the export that shows them, those first
of which profiles took all allocations; what they had allocated is then that of one stack "[earlier stacks]".
Ids are never used for another stack."""

Totals: TypeAlias = tuple[int, int, str, float, float, float, float]
"""A row without frames: (stack id, label, thread name, live objects, live bytes, allocated objects, allocated
bytes)."""

LiveSample: TypeAlias = tuple[int, int, float, int]
"""(address, size asked for in bytes, birth as Unix time to a sixteenth of a second, label)"""

Ages: TypeAlias = tuple[float, ...]
"""Totals by age: entry 0 of ages below 1/64 s, entry k from 2**(k-1) up to 2**k times that; the last, 23,
is open (18 hours and more). Zeros at the end are left out. Ages are exact to about 20 ms."""

Lifetimes: TypeAlias = tuple[int, Ages, Ages, Ages, Ages]
"""(stack id, objects that ended, bytes that ended, live objects, live bytes): the ended ones by the age at
which they ended, the live ones by their present age. Estimates without bias, like a row's; the stack's labels
and threads are added up.

A block ends when it is freed and when a realloc succeeds, which makes another block of it. Ends count from
the first start, in a forked child from the fork; live blocks keep their age over a fork. Left out are samples
that were lost or thinned, and the ends of stacks that found no room in the table ("dropped_lifetimes").

With ended[k] and live[k] the chance to live on after bucket k is 1 - ended[k] / (ended[k] + everything in
later buckets, ended or live): blocks that still live are censored at their age (Kaplan and Meier 1958)."""

class Stats(TypedDict):
    """What the sampler knows of itself. Bytes and objects are estimates where they speak of the host."""

    enabled: int
    native: int
    interval: int
    max_depth: int
    samples: int
    live_samples: int
    pre_fork_samples: int
    dropped_table_full: int
    dropped_displaced: int
    dropped_stacks: int
    dropped_rows: int
    dropped_callers: int
    dropped_lifetimes: int
    dropped_interrupted: int
    dropped_scopes: int
    thinned: int
    interval_doublings: int
    own_bytes: int
    padding_bytes: int
    hooks_intact: int
    watches_frees: int
    rewraps: int
    incomplete_since: float
    allocated_bytes: float
    allocations: float
    live_bytes: float
    live_objects: float
    started: float
    peak_bytes: float
    peak_time: float
    clock: int

def start(interval: int, max_depth: int, seed: int = 0) -> None:
    """Starts sampling one byte in `interval` on average, with `max_depth` (1 to 1024) frames of each stack.
    With an interval of 1 every block is sampled, and all figures are exact.

    Hooks are put in once and stay. `seed` 0 takes random numbers from the operating system. Starting again
    changes interval and depth and keeps what was collected.

    Raises ValueError for a value out of bounds, RuntimeError (saying why) where sampling isn't possible.
    """

def stop() -> None:
    """Stops sampling new blocks; live samples still end when their blocks are freed."""

def set_interval(interval: int) -> None:
    """Changes the mean distance between samples, in bytes; each sample keeps the weight it was drawn with."""

def watch_arrays(table: object) -> str:
    """Counts the buffers of numpy's arrays from now on; `table` is numpy's capsule of functions (_ARRAY_API).

    "" when they are counted (in native mode they are anyway), else why not. Memory of data handlers that the
    program sets itself is not seen.
    """

def set_label(label: int) -> int:
    """Labels the samples of this thread from now on (32 bits, 0: none); returns the previous label."""

class Scope:
    """A piece of work whose memory is counted apart while it is open, whichever thread allocates and frees.

    Samples belong to the scope that the context variable given to `follow` has when they are taken. What
    counts in a scope counts in those around it too. 4096 can be open at once; one more counts nothing.
    """

    label: int
    """Of samples taken in this scope, 32 bits; 0: that of the thread. Also when it is not open."""

    def open(self, around: Scope | None) -> None:
        """Counts from zero, inside the scope `around`."""

    def counts(self) -> tuple[float, float, float, float]:
        """(allocated bytes, allocated blocks, bytes of them that live, the most that lived), estimates."""

    def close(self) -> tuple[float, float, float, float]:
        """The same, for the last time: zeros afterwards."""

def follow(variable: ContextVar[Any]) -> None:
    """Takes label and scope of samples from the value of `variable` in the running context, if a Scope."""

def current_label() -> int:
    """The label that a sample taken now would have."""

def export(since: int = 0, live: bool = False, own: int = 0) -> list[Row]:
    """Totals of each (stack, label, thread) that changed after the clock (see stats) was at `since`; with
    `live`, of those with live memory. The rows of label `own` are left out.

    All figures are of one moment. Here and in `totals` and `profile` other threads get the GIL every
    millisecond.
    """

def totals(live: bool = False, own: int = 0) -> tuple[list[Totals], float]:
    """The same without frames, and the live bytes of the rows of label `own` that are left out."""

def levels(own: int) -> tuple[bytes, float]:
    """What lives of each row but those of label `own`, whose live bytes come with it: native 64-bit stack id,
    live bytes and live objects as doubles, one after the other. No object is made of a row."""

def frames(stack: int) -> tuple[Frame, ...]:
    """The frames of a stack, innermost first; () when it was given up."""

class Encoded:
    """A message in memory of its own."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

def profile(
    names: dict[int, str], own: int = 0, take: bool = False, peak: bool = False
) -> tuple[Encoded, bytes, float]:
    """A pprof message (uncompressed, without its times), what was taken, and the live bytes of label `own`.

    It has the rows but those of label `own`. `names` are those of labels. With `take`, rows with live memory
    or new allocations, and allocations are those since the last profile that took them; if this one gets
    lost, give_back lets the next one carry them. With `peak`, what lived when the estimate of live bytes was
    highest ("peak_time" in `stats`; in a forked child since the fork), and no allocations. Each sample moves
    it; the highest point of an estimate lies above the true one, by about its standard error. Rows that
    were given up since are in "[earlier stacks]". RuntimeError before the first start.
    """

def high_water() -> tuple[float, float] | None:
    """(bytes that live now, the most that lived at once since the last call), estimates; asking begins anew,
    so there is one who asks. None while nothing is sampled."""

def give_back(taken: bytes) -> None:
    """Undoes what a profile took. ValueError for bytes that aren't a profile's."""

def live_samples(stack: int, limit: int) -> list[LiveSample]:
    """At most `limit` live samples of the stack, drawn evenly from old and new ones."""

def lifetimes(stacks: list[int] | None = None) -> list[Lifetimes]:
    """How long blocks lived and how old the live ones are, of the stacks with these (few) ids or of all.

    Looks at every live sample; stacks of which nothing was sampled, and ids that are gone, don't appear.
    """

class Walk:
    """A walk over all objects that the garbage collector tracks, the frozen ones (gc.freeze) first, then the
    oldest; in steps that hold the GIL for at most `seconds` (each looks at 1024 objects at least). What lives
    all the while is seen, maybe twice, whatever collections happen between the steps.

    No reference is taken to what isn't returned: forked processes go on sharing the pages of the others.
    Tuples, and what the collector doesn't track, are reached through those who refer to them.

    `stacks` (ids, at most 64) and `limit` (objects of each) say what `objects` looks for. Raises RuntimeError
    outside the main interpreter.
    """

    def __new__(cls, stacks: list[int] = ..., limit: int = 0) -> Walk: ...
    @property
    def done(self) -> bool:
        """Whether everything was seen, or all that is wanted was found."""

    @property
    def seen(self) -> int:
        """How many tracked objects were looked at so far."""

    def referrers(self, targets: list[object], seconds: float) -> list[tuple[object, int, int]]:
        """A step: who refers to one of `targets`. (holder, index of the target, number of references) for
        each pair found; ends early when very many were. The list itself is no holder. About 30 ns per object.
        """

    def objects(self, seconds: float) -> list[tuple[int, object]]:
        """A step: (index of the stack, object) for Python objects that are live sampled blocks or own one as
        storage (a list for its items, a dict for its table). A first round over the heap finds objects and
        owners of storage, a second one owners of blocks that no object was found in. Validated; memory that
        may have been freed is never touched."""

    def census(self, stride: int, seconds: float) -> list[tuple[type, float, float, float, float]]:
        """A step: (type, objects, bytes, variance of objects, variance of bytes), estimated by looking at one
        in `stride` objects. Untracked objects count as the part of them that tracked ones refer to."""

def kept() -> list[tuple[str, object]]:
    """(function it was given by, object) for what the interpreter keeps and no object is seen to hold."""

def stats() -> Stats:
    """State of the sampler; also finds out whether other tools displaced the hooks, and puts them back."""
