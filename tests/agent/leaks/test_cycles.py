"""Reference cycles: the way round, what would break it, and which sites only a full collection frees."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from heapwatch.leaks.garbage import FullCollections, uncollectable, watch
from heapwatch.leaks.holders import HolderSearch, Outcome, Wanted
from heapwatch.sampler import Owners, Sampler, open_sampler


class Page:
    """What is looked for."""


class Node:
    def __init__(self, parent: Node | None = None) -> None:
        self.parent, self.children = parent, [Page()]  # type: ignore[var-annotated]
        if parent is not None:
            parent.children.append(self)


class Connection:
    def __init__(self) -> None:
        self.on_close, self.page = self.close, Page()

    def close(self) -> None:
        pass

    def __del__(self) -> None:
        pass


def tree() -> None:
    Node(Node())


def connection() -> None:
    Connection()


def kept_error() -> None:
    page = Page()  # noqa: F841
    try:
        raise ValueError
    except ValueError as caught:
        kept = caught  # noqa: F841


def closure() -> None:
    page = Page()

    def again() -> Any:
        return again, page


def itself() -> None:
    page = Page()
    page.me = page  # type: ignore[attr-defined]


class Pages:
    """Gives out all pages there are, as the sampler would."""

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        yield [(stack_ids[0], o) for o in gc.get_objects() if type(o) is Page]


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def searched() -> Outcome:
    search = HolderSearch(Pages(), [Wanted([1])], budget=0.05)
    while not search.advance():
        pass
    return search.outcomes()[0]


HERE = __name__


@pytest.mark.parametrize(
    ("make", "path", "change"),
    [
        (tree, f"{HERE}.Node.parent.children[*] (itself)", f"Hold {HERE}.Node.parent weakly"),
        (connection, f"{HERE}.Connection.on_close.__self__ (itself)", "weakref.WeakMethod"),
        (kept_error, "frame, local kept.__traceback__.tb_frame (itself)", "Delete the local variable 'kept'"),
        (closure, "function (closure: again) (itself)", "not refer to 'again'"),
        (itself, f"{HERE}.Page.me (itself)", f"Hold {HERE}.Page.me weakly"),
    ],
)
def test_the_way_round_and_what_breaks_it(make: Callable[[], None], path: str, change: str) -> None:
    make()
    outcome = searched()
    assert outcome.kind == "cycle"
    assert {cycle.path for cycle in outcome.cycles} == {path}
    assert change in outcome.cycles[0].change
    assert any(path in reason and change in reason for reason in outcome.reasons)


def test_finalizers_on_the_way_are_told() -> None:
    connection()
    assert searched().cycles[0].finalizers == (f"{HERE}.Connection",)


def test_a_cycle_that_something_holds_is_none_to_tell_of() -> None:
    root = Node()
    Node(root)
    outcome = searched()
    assert (outcome.kind, outcome.cycles) == ("python", ())
    assert root.children


@pytest.fixture(scope="module")
def sampler() -> Iterator[Sampler]:
    sampler = open_sampler(256, 32)
    if sampler.reason:
        pytest.skip(sampler.reason)
    yield sampler
    sampler.stop()


def test_sites_that_only_a_full_collection_frees(sampler: Sampler) -> None:
    def pause(seconds: float) -> None:
        for _ in range(300):
            tree()
            [bytearray(100) for _ in range(10)]

    freed, sites = watch(sampler, seconds=0.01, budget=0.05, collect=True, pause=pause)
    assert freed.collections == 1
    assert freed.collected >= 300
    first = sites[0]
    assert first.site.function in ("Node.__init__", "tree")
    assert first.share > 0.9
    cycles = {cycle.path for site in sites for cycle in site.outcome.cycles}
    assert f"{HERE}.Node.parent.children[*] (itself)" in cycles


def test_it_watches_no_longer_than_asked(sampler: Sampler) -> None:
    before = list(gc.callbacks)
    watched = FullCollections(sampler)
    with watched.watching():
        gc.collect()
        gc.collect(0)
    gc.collect()
    assert watched.freed.collections == 1
    assert gc.callbacks == before


def test_what_is_never_freed_is_counted_by_type() -> None:
    gc.garbage.append(Page())
    try:
        assert uncollectable() == {f"{HERE}.Page": 1}
    finally:
        gc.garbage.clear()
