"""Which line stores the objects that stay: the one that last enlarged the container that holds them.

A list, set or dict that takes in an object with each step has its storage enlarged now and then, by the line
that stores. The storage is a sampled block like any other, so the line is known; that the container leads to
the survivors tells it from others.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterable, Iterator

from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.measure import Track

MAX_CONTAINERS = 24
MAX_VISITED = 50_000
DEPTH = 4
LEAST_STORAGE = 1024.0
LEAST_SHARE = 0.25
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, type)


def keeper(tracks: Iterable[Track], objects: Iterable[object], survivors: Survivors) -> Track | None:
    """The track whose stack stored most of `objects`, None when no container leads to enough of them."""
    wanted = {id(obj) for obj in objects}
    if not wanted:
        return None
    best: tuple[float, Track] | None = None
    for track in _storages(tracks):
        for container in survivors.owners(track.stack_id):
            share = _led_to(container, wanted) / len(wanted)
            if share >= LEAST_SHARE and (best is None or share > best[0]):
                best = (share, track)
    return best[1] if best else None


def _storages(tracks: Iterable[Track]) -> list[Track]:
    """Tracks of large blocks made during the steps, the largest first."""
    large = [
        track
        for track in tracks
        if track.objects[-1] > 0
        and track.bytes[-1] >= LEAST_STORAGE * track.objects[-1]
        and sum(track.born.values()) > 0
    ]
    return sorted(large, key=lambda track: -track.bytes[-1])[:MAX_CONTAINERS]


def _led_to(container: object, wanted: set[int]) -> int:
    """How many of `wanted` are in `container`, or not far inside its items."""
    level, seen, found = [container], {id(container)}, 0
    for _ in range(DEPTH):
        following: list[object] = []
        for obj in _inside(level):
            if id(obj) in seen or len(seen) >= MAX_VISITED:
                continue
            seen.add(id(obj))
            found += id(obj) in wanted
            following.append(obj)
        level = following
    return found


def _inside(level: list[object]) -> Iterator[object]:
    for obj in level:
        for inner in gc.get_referents(obj):
            if not issubclass(type(inner), _CODE):
                yield inner
