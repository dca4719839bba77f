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

MAX_TRACKS = 24
MAX_CONTAINERS = 8
MAX_VISITED = 50_000
DEPTH = 4
LEAST_STORAGE = 1024.0
LEAST_ITEMS = 30
LEAST_SHARE = 0.25
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, type)


def keeper(
    growing: Iterable[Track], tracks: Iterable[Track], objects: Iterable[object], survivors: Survivors
) -> tuple[Track, object] | None:
    """The track whose stack stored most of `objects`, with the container; None when none leads to enough.

    It may be one of the `growing` ones, whose line makes the objects too, or any of `tracks`.
    """
    wanted = {id(obj) for obj in objects}
    if not wanted:
        return None
    best: tuple[float, Track, object] | None = None
    own = [track for track in growing if survivors.largest(track.stack_id) >= LEAST_STORAGE]
    for track in {track.stack_id: track for track in (*own, *_storages(tracks))}.values():
        for container in survivors.containers(track.stack_id, LEAST_ITEMS)[:MAX_CONTAINERS]:
            share = _led_to(container, wanted) / len(wanted)
            if share >= LEAST_SHARE and (best is None or share > best[0]):
                best = (share, track, container)
    return best[1:] if best else None


def _storages(tracks: Iterable[Track]) -> list[Track]:
    """Tracks of large blocks made during the steps, the largest first."""
    large = [
        track
        for track in tracks
        if track.objects[-1] > 0
        and track.bytes[-1] >= LEAST_STORAGE * track.objects[-1]
        and sum(track.born.values()) > 0
    ]
    return sorted(large, key=lambda track: -track.bytes[-1])[:MAX_TRACKS]


def _led_to(container: object, wanted: set[int]) -> int:
    """How many of `wanted` are in `container`, or not far inside its items."""
    level, seen, found = [container], {id(container)}, 0
    for _ in range(DEPTH):
        following: list[object] = []
        for obj in _new(level, seen):
            found += id(obj) in wanted
            if not issubclass(type(obj), _CODE):
                following.append(obj)
        level = following
    return found


def _new(level: list[object], seen: set[int]) -> Iterator[object]:
    """What `level` refers to and was not `seen`, until very much was."""
    for obj in level:
        for inner in gc.get_referents(obj):
            if id(inner) not in seen and len(seen) < MAX_VISITED:
                seen.add(id(inner))
                yield inner
