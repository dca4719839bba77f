"""Stacks merged into one tree of calls, from the outermost call down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from heapwatch_wire.sites import Frame, Stack

MAX_NODES = 150_000
ROOT = Frame("all", "", 0)


class Node:
    """A call on the way to allocations: values of all stacks that go through it, one per sample type."""

    __slots__ = ("children", "frame", "values")

    def __init__(self, frame: Frame, width: int) -> None:
        self.frame = frame
        self.children: dict[Frame, Node] = {}
        self.values = [0] * width

    def child(self, frame: Frame) -> Node:
        """The call of `frame` from here, made on first sight."""
        node = self.children.get(frame)
        if node is None:
            node = self.children[frame] = Node(frame, len(self.values))
        return node


class Row(NamedTuple):
    """A node in the order of drawing: callers before what they call."""

    node: Node
    depth: int
    parent: int


def build(samples: Iterable[tuple[Stack, Sequence[int]]], width: int) -> Node:
    """The tree of (stack, values) pairs; `width` values in each, negative ones taken as 0."""
    root = Node(ROOT, width)
    for stack, values in samples:
        node = root
        for frame in reversed(stack):
            node = node.child(frame)
        for i, value in enumerate(values):
            if value > 0:
                node.values[i] += value
    ordered = rows(root)
    for row in reversed(ordered[1:]):
        above = ordered[row.parent].node.values
        for i, value in enumerate(row.node.values):
            above[i] += value
    return root


def rows(root: Node, order: int = 0) -> list[Row]:
    """All nodes in drawing order; siblings by their value of type `order`, the largest first."""
    found: list[Row] = []
    waiting = [Row(root, 0, -1)]
    while waiting:
        row = waiting.pop()
        found.append(row)
        below = sorted(row.node.children.values(), key=lambda child: _rank(child, order), reverse=True)
        waiting += [Row(child, row.depth + 1, len(found) - 1) for child in reversed(below)]
    return found


def prune(root: Node, limit: int = MAX_NODES) -> float:
    """Take the smallest calls away until at most `limit` nodes are left; their values stay in the callers'.

    Returns the share of the whole, in each sample type, up to which calls were taken away; 0 for none.
    """
    nodes = [row.node for row in rows(root)]
    if len(nodes) <= limit:
        return 0.0
    # A call is never larger than its caller, so what is kept is still one tree.
    share = sorted((_share(node, root) for node in nodes), reverse=True)[limit]
    for node in nodes:
        node.children = {f: child for f, child in node.children.items() if _share(child, root) > share}
    return share


def _share(node: Node, root: Node) -> float:
    """The largest of the shares that `node` has of `root`, by sample type."""
    return max(value / total if total else 0.0 for value, total in zip(node.values, root.values, strict=True))


def _rank(node: Node, order: int) -> tuple[int, Frame]:
    return node.values[order], node.frame
