"""Flame graphs in the form of the Pyroscope API, from stacks with values.

A level is a list of bars from left to right; a bar's offset counts from the end of the bar before it.
Functions of one name in different files stay apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from heapwatch_wire.proto import FlameGraph, FlameGraphDiff
from heapwatch_wire.sites import Stack

ROOT = "total"
OTHER = "other"
DEFAULT_NODES = 8192

Key = tuple[str, str]
Weighted = Iterable[tuple[Stack, int]]


@dataclass
class Node:
    """A function called by its parent; `total` and `self` per side: one, or left and right of a diff."""

    key: Key
    total: list[int]
    self: list[int]
    children: dict[Key, Node] = field(default_factory=dict)

    def child(self, key: Key) -> Node:
        found = self.children.get(key)
        if found is None:
            sides = len(self.total)
            found = self.children[key] = Node(key, [0] * sides, [0] * sides)
        return found

    @property
    def weight(self) -> int:
        return sum(self.total)


def build(sides: Sequence[Weighted], call_site: Sequence[str] = ()) -> Node:
    """The tree of all stacks, one entry in `total` and `self` per side.

    `call_site`: function names, the root first; stacks that don't begin with them are left out.
    """
    root = Node((ROOT, ""), [0] * len(sides), [0] * len(sides))
    for side, stacks in enumerate(sides):
        for stack, value in stacks:
            path = [(frame.function, frame.file) for frame in reversed(stack)]
            if [name for name, _ in path[: len(call_site)]] != list(call_site):
                continue
            node = root
            node.total[side] += value
            for key in path:
                node = node.child(key)
                node.total[side] += value
            node.self[side] += value
    return root


def truncate(root: Node, max_nodes: int) -> None:
    """Keep the `max_nodes` heaviest nodes; what is cut off a node becomes its child "other"."""
    kept = {id(root)}
    # A child is never heavier than its parent: taking the heaviest next keeps the parents of what is kept.
    heap = [(-root.weight, 0, root)]
    order = 0
    while heap and len(kept) < max_nodes:
        _, _, node = heapq.heappop(heap)
        kept.add(id(node))
        for child in node.children.values():
            order += 1
            heapq.heappush(heap, (-child.weight, order, child))
    pending = [root]
    while pending:
        node = pending.pop()
        cut = [child for child in node.children.values() if id(child) not in kept]
        for child in cut:
            del node.children[child.key]
        pending.extend(node.children.values())
        if cut:
            lost = [sum(side) for side in zip(*(child.total for child in cut), strict=True)]
            node.children[(OTHER, "")] = Node((OTHER, ""), lost, list(lost))


def flame_graph(
    stacks: Weighted, max_nodes: int = DEFAULT_NODES, call_site: Sequence[str] = ()
) -> FlameGraph:
    """The merged flame graph; 4 numbers per bar: offset, total, self, name."""
    root = build([stacks], call_site)
    names, levels, max_self = _levels(root, max_nodes)
    return FlameGraph(
        names=names, levels=[{"values": level} for level in levels], total=root.total[0], max_self=max_self
    )


def flame_graph_diff(left: Weighted, right: Weighted, max_nodes: int = DEFAULT_NODES) -> FlameGraphDiff:
    """Both sides in one tree; 7 numbers per bar: offset, total, self of left, then of right, name."""
    root = build([left, right])
    names, levels, max_self = _levels(root, max_nodes)
    return FlameGraphDiff(
        names=names,
        levels=[{"values": level} for level in levels],
        total=root.weight,
        max_self=max_self,
        leftTicks=root.total[0],
        rightTicks=root.total[1],
    )


def _levels(root: Node, max_nodes: int) -> tuple[list[str], list[list[int]], int]:
    truncate(root, max(1, max_nodes))
    sides = range(len(root.total))
    names: dict[str, int] = {}
    levels: list[list[int]] = []
    max_self = 0
    current: list[tuple[Node, list[int]]] = [(root, [0 for _ in sides])]
    while current:
        level: list[int] = []
        below: list[tuple[Node, list[int]]] = []
        ends = [0 for _ in sides]
        for node, begins in current:
            for side in sides:
                level += (begins[side] - ends[side], node.total[side], node.self[side])
                ends[side] = begins[side] + node.total[side]
            level.append(names.setdefault(node.key[0], len(names)))
            max_self = max(max_self, *node.self)
            at = list(begins)
            for child in sorted(node.children.values(), key=lambda c: c.key):
                below.append((child, list(at)))
                at = [a + total for a, total in zip(at, child.total, strict=True)]
        levels.append(level)
        current = below
    return list(names), levels, max_self
