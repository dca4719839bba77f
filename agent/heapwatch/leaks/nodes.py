"""The objects that a search has met on its way up, and the chains that they make."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from types import CellType

from heapwatch.leaks.chains import Chain
from heapwatch.leaks.cycles import Cycle, describe_cycle
from heapwatch.leaks.references import TO_ATTRIBUTES, TO_THREADS, Step, type_name
from heapwatch.leaks.roots import Root, from_c, in_running_frame

ONLY_A_CYCLE = "only a reference cycle"
MAX_STARTS = 24
MAX_SEEN_ROUND = 500


class Node:
    """An object on the way up. `above` are its holders with the step from each down to it; `found` counts the
    references that they have."""

    __slots__ = ("above", "found", "obj", "root")

    def __init__(self, obj: object) -> None:
        self.obj = obj
        self.root: Root | None = None
        self.above: list[tuple[Node, Step]] = []
        self.found = 0

    @property
    def is_end(self) -> bool:
        """Whether nothing needs to hold it."""
        return self.root is not None and self.root.end

    @property
    def missing(self) -> int:
        """References to the object that no searched object accounts for."""
        return _references(self) - _OWN_REFERENCES - self.found


def _references(node: Node) -> int:
    return sys.getrefcount(node.obj)


_OWN_REFERENCES = _references(Node(object()))


def upwards(sample: Node) -> Iterator[Node]:
    """The nodes above `sample` and itself, nearest first."""
    seen, queue = {id(sample)}, [sample]
    for node in queue:
        yield node
        for above, _ in node.above:
            if id(above) not in seen:
                seen.add(id(above))
                queue.append(above)


def is_resolved(sample: Node) -> bool:
    """Whether an end was found above `sample`."""
    return any(node.is_end for node in upwards(sample))


def chain_to(sample: Node, complete: bool, thread: str) -> Chain:
    """How `sample` hangs on the nearest end; without one, when all was searched, on C code or a cycle.

    `thread` is the one whose attributes of a `threading.local` are meant.
    """
    below: dict[int, tuple[Node, Step]] = {}
    order = list(upwards(sample))
    for node in order:
        for above, reference in node.above:
            if above is not sample:
                below.setdefault(id(above), (node, reference))
    top, root, first = _top(sample, order, below, complete)
    return _named_thread(_down(top, root, sample, below, first), thread)


def _top(
    sample: Node, order: list[Node], below: dict[int, tuple[Node, Step]], complete: bool
) -> tuple[Node, Root, tuple[Step, ...]]:
    """Where the chain ends, and steps before the first one known."""
    nearest = next((node for node in order if node.is_end), None)
    if nearest is not None and nearest.root is not None:
        top = _home(below[id(nearest)][0], nearest)
        return top, top.root or nearest.root, ()
    if not complete:
        half = next((node for node in order if node.root is not None), None)
        if half is not None and half.root is not None:
            return half, half.root, ()
        return order[-1], Root("unknown", f"beyond {type_name(type(order[-1].obj))}"), ()
    outside = [node for node in order if node.missing > 0]
    for node in outside:
        found = in_running_frame(node.obj)
        if found is not None:
            return node, found[0], (found[1],)
    if outside:
        top = next((node for node in outside if node.root is not None), outside[0])
        return top, top.root or from_c(top.obj), ()
    last = next((n for n in reversed(order) if any(a is sample for a, _ in n.above)), sample)
    return last, Root("unknown", f"{ONLY_A_CYCLE}: {type_name(type(last.obj))}"), ()


def cycle_above(sample: Node) -> Cycle | None:
    """A cycle that holds `sample`, the shortest of the nearest; None when there is none."""
    for node in islice(upwards(sample), MAX_STARTS):
        way = _way_round(node)
        if way:
            return describe_cycle(way)
    return None


def _way_round(start: Node) -> list[tuple[object, str, Step]]:
    """The references from `start` down to itself."""
    came: dict[int, tuple[Node, Step]] = {}
    level, seen = [start], 0
    while level and seen < MAX_SEEN_ROUND:
        following = []
        for node in level:
            for above, reference in node.above:
                if id(above) not in came:
                    came[id(above)] = (node, reference)
                    following.append(above)
            seen += 1
            if id(start) in came:
                return _read_round(start, came)
        level = following
    return []


def _says_little(obj: object) -> int:
    """How little a type tells of where in the program it is."""
    return 2 if type(obj) is CellType else "." not in type_name(type(obj))


def _read_round(start: Node, came: dict[int, tuple[Node, Step]]) -> list[tuple[object, str, Step]]:
    way: list[tuple[Node, Step]] = []
    node = start
    while not way or node is not start:
        below, reference = came[id(node)]
        way.append((node, reference))
        node = below
    # The first reference must read by itself, which one from a closure's or an instance's inside doesn't.
    whole = [i for i in range(len(way)) if way[i - 1][1].below is None]
    first = min(whole, key=lambda i: _says_little(way[i][0].obj), default=0)
    way = way[first:] + way[:first]
    texts = [general for _, general in Chain(Root("unknown", ""), tuple(r for _, r in way), ()).path()]
    return [(node.obj, text, reference) for (node, reference), text in zip(way, texts, strict=True)]


def _home(held: Node, nearest: Node) -> Node:
    """Of the modules that have `held` as a global the one it is at home in: that of its class, else the one
    with the shortest name. `nearest` when its root is not a module."""
    modules = [node for node, _ in held.above if node.root is not None and node.root.kind == "module"]
    if nearest not in modules:
        return nearest
    origin = type_name(type(held.obj)).rpartition(".")[0]

    def rank(node: Node) -> tuple[bool, int]:
        name = node.root.name if node.root else ""
        return not (origin == name or origin.startswith(name + ".")), len(name)

    return min(modules, key=rank)


def _down(
    top: Node, root: Root, sample: Node, below: dict[int, tuple[Node, Step]], first: tuple[Step, ...]
) -> Chain:
    """The chain from `top` to `sample`. The root itself and the `__dict__` of objects are not types of it."""
    steps, node = list(first), top
    types = [] if top.root is root else [type_name(type(top.obj))]
    while node is not sample:
        node, reference = below[id(node)]
        # Below a threading.local is its table of threads, and there that thread's attributes.
        steps.append(TO_ATTRIBUTES if steps and steps[-1] == TO_THREADS else reference)
        if steps[-1].below != ():
            types.append(type_name(type(node.obj)))
    return Chain(root, tuple(steps), tuple(types))


def _named_thread(chain: Chain, thread: str) -> Chain:
    """A chain through a `threading.local`: what it keeps, it keeps for a thread."""
    if TO_THREADS not in chain.steps:
        return chain
    owner = f" of thread {thread!r}" if thread else " of a thread"
    root = Root("thread", chain.root.name, chain.root.below)
    return Chain(root, (*chain.steps, Step(owner, owner)), chain.types)
