"""Flame graphs keep every byte in its place, also after they are cut to a number of nodes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from heapwatch_collector.query.flamegraph import flame_graph, flame_graph_diff
from heapwatch_wire.sites import Frame
from hypothesis import given
from hypothesis import strategies as st

Stacks = list[tuple[tuple[Frame, ...], int]]

FRAMES = st.builds(Frame, st.sampled_from("abcde"), st.sampled_from(["x.py", "y.py"]), st.integers(1, 3))
STACKS = st.lists(
    st.tuples(st.lists(FRAMES, min_size=1, max_size=5).map(tuple), st.integers(1, 1000)), max_size=12
)


def bars(levels: Sequence[Sequence[int]], width: int = 4) -> list[list[tuple[int, int, int, int]]]:
    """(begin, total, self, name) of each bar of each level, from one side's offsets."""
    found = []
    for values in levels:
        level, end = [], 0
        for i in range(0, len(values), width):
            offset, total, own = values[i : i + 3]
            level.append((end + offset, total, own, values[i + width - 1]))
            end += offset + total
        found.append(level)
    return found


def test_a_small_one_is_exactly_this() -> None:
    main = Frame("main", "m.py", 1)
    load, keep = Frame("load", "m.py", 5), Frame("keep", "m.py", 9)
    graph = flame_graph([((load, main), 30), ((keep, main), 50), ((main,), 20)])
    assert list(graph.names) == ["total", "main", "keep", "load"]
    assert [list(level.values) for level in graph.levels] == [
        [0, 100, 0, 0],
        [0, 100, 20, 1],
        [0, 50, 50, 2, 0, 30, 30, 3],
    ]
    assert (graph.total, graph.max_self) == (100, 50)


@given(STACKS)
def test_bars_lie_below_their_parents_and_add_up(stacks: Stacks) -> None:
    graph = flame_graph(stacks)
    levels = bars([level.values for level in graph.levels])
    assert graph.total == sum(value for _, value in stacks)
    assert graph.names[levels[0][0][3]] == "total"
    assert sum(own for level in levels for _, _, own, _ in level) == graph.total
    for above, level in itertools.pairwise(levels):
        for begin, total, _, _ in level:
            assert any(b <= begin and begin + total <= b + t for b, t, _, _ in above)
        for (begin, total, _, _), (after, *_) in itertools.pairwise(level):
            assert begin + total <= after


@given(STACKS, st.integers(1, 6))
def test_cutting_loses_no_bytes(stacks: Stacks, most: int) -> None:
    graph = flame_graph(stacks, most)
    levels = bars([level.values for level in graph.levels])
    assert sum(own for level in levels for _, _, own, _ in level) == graph.total
    kept = [bar for level in levels for bar in level if graph.names[bar[3]] != "other"]
    assert len(kept) <= most


def test_functions_of_one_name_in_two_files_stay_apart() -> None:
    graph = flame_graph([((Frame("run", "a.py", 1),), 1), ((Frame("run", "b.py", 1),), 2)])
    assert [list(level.values) for level in graph.levels][1] == [0, 1, 1, 1, 0, 2, 2, 1]


def test_call_site_keeps_what_begins_there() -> None:
    root, load = Frame("main", "m.py", 1), Frame("load", "m.py", 2)
    graph = flame_graph([((load, root), 5), ((root,), 3), ((load,), 2)], call_site=["main", "load"])
    assert graph.total == 5


@given(STACKS, STACKS)
def test_a_diff_holds_both_sides(left: Stacks, right: Stacks) -> None:
    graph = flame_graph_diff(left, right)
    assert (graph.leftTicks, graph.rightTicks) == (sum(v for _, v in left), sum(v for _, v in right))
    assert graph.total == graph.leftTicks + graph.rightTicks
    assert all(len(level.values) % 7 == 0 for level in graph.levels)
    for side, ticks in ((0, graph.leftTicks), (3, graph.rightTicks)):
        selves = [
            level.values[i + side + 2] for level in graph.levels for i in range(0, len(level.values), 7)
        ]
        assert sum(selves) == ticks
