"""Recommendations name the holder and say what to do with this kind of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from heapwatch_analyzer.recommendations import container, recommend
from heapwatch_wire.evidence import Call, Evidence, Growth, Holder, Share, Site
from hypothesis import given
from hypothesis import strategies as st

Root = Literal["module", "class", "thread", "frame", "generator", "C", "unknown"]
ROOTS: tuple[Root, ...] = ("module", "class", "thread", "frame", "generator", "C", "unknown")
SITE = Site("1", "remember", "/srv/shop/shop/cache.py", 8, Call("show", "/srv/shop/shop/views.py", 40))


def evidence(*holders: Holder, type: str = "shop.Page", endpoints: tuple[Share, ...] = ()) -> Evidence:
    return Evidence(
        "leak", "shop", "1.0", SITE, type, 1e6, 1e3, Growth(1000.0, 500.0, 1500.0, 1.0), 0.0,
        holders=holders, endpoints=endpoints,
    )  # fmt: skip


CASES: list[tuple[str, Root, tuple[str, ...], str, list[str]]] = [
    ("shop.cache.PAGES[*]", "module", ("dict", "bytes"), "shop.cache.PAGES", ["lru_cache", "TTLCache"]),
    ("shop.Store.cache['x'].rows[*]", "class", ("dict", "shop.Rows", "collections.OrderedDict", "Row"),
     "shop.Store.cache['x'].rows", ["lru_cache", "TTLCache"]),
    ("shop.BUS._listeners['sold'][*].__self__", "module", ("shop.Bus", "dict", "list", "method", "Page"),
     "shop.BUS._listeners['sold']", ["weakref.WeakMethod", "unregister"]),
    ("shop.TODO[*].__self__.page", "module", ("list", "method", "shop.View", "Page"), "shop.TODO",
     ["weakref.WeakMethod"]),
    ("thread 'worker-1': shop.LOCAL.pages[*]", "thread", ("_thread._local", "list", "Page"),
     "shop.LOCAL.pages", ["end", "flask.g"]),
    ("shop.LOG[*]", "module", ("list", "Page"), "shop.LOG", ["deque(maxlen="]),
    ("frame work (shop/worker.py:9).done[*]", "frame", ("list", "Page"), "done", ["never returns"]),
    ("generator pages.seen[*]", "generator", ("set", "Page"), "pages.seen", ["contextlib.closing"]),
    ("C code", "C", (), "shop.Page", ["held from C", "update"]),
    ("?", "unknown", (), "remember", ["bound"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "root", "types", "named", "words"), CASES, ids=[c[0] for c in CASES])
def test_each_kind_of_holder_has_its_change(
    path: str, root: Root, types: tuple[str, ...], named: str, words: list[str]
) -> None:
    found = recommend(evidence(Holder(path, root, types, 1.0)))
    assert named in found.title + found.text
    assert all(word in found.text for word in words), found.text
    assert "/srv/shop/shop/cache.py:8 (remember)" in found.text
    assert found.saves_bytes_per_hour == 1000.0 * 3600


def test_a_cycle_is_to_be_broken() -> None:
    found = evidence(Holder("only a reference cycle: shop.Node", "unknown", ("shop.Node",), 1.0))
    reason = "the cycle: shop.Node.parent.children[*] (itself). Hold shop.Node.parent weakly"
    advice = recommend(replace(found, kind="cycle", reasons=("it grows", reason)))
    assert advice.title == "Break the reference cycle"
    assert "shop.Node.parent.children[*], so only" in advice.text
    assert advice.text.endswith("Hold shop.Node.parent weakly.")


def test_the_largest_holder_decides() -> None:
    small = Holder("shop.LOCAL.x[*]", "thread", ("_thread._local", "list"), 0.3)
    large = Holder("shop.PAGES[*]", "module", ("dict",), 0.7)
    assert recommend(evidence(small, large)).title == "Bound the cache shop.PAGES"


def test_without_holder_line_caller_and_endpoint_are_named() -> None:
    found = recommend(evidence(endpoints=(Share("GET /a", 0.2), Share("GET /b", 0.8))))
    assert "/srv/shop/shop/cache.py:8 (remember), called from /srv/shop/shop/views.py:40 (show)" in found.text
    assert "while serving GET /b" in found.text
    assert "was not found" in found.text


def test_kept_exceptions_are_told_from_other_objects() -> None:
    holder = Holder("shop.ERRORS[*]", "module", ("list", "ValueError"), 1.0)
    assert "traceback" in recommend(evidence(holder, type="ValueError")).text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.B[*]", "a.B"),
        ("a.B['k'].c[*].d", "a.B['k'].c"),
        ("a.B['it[s]'][0]", "a.B"),
        ("a.B['it\\'s][*]'][*]", "a.B['it\\'s][*]']"),
        ("a.B", "a.B"),
        ("thread 'x': a.B.c[*]", "a.B.c"),
    ],
)
def test_container_is_where_objects_differ(path: str, name: str) -> None:
    assert container(Holder(path, "module", (), 1.0)) == name


@given(
    path=st.text(max_size=40),
    root=st.sampled_from(ROOTS),
    types=st.lists(st.text(max_size=20), max_size=4),
    kind=st.text(max_size=20),
)
def test_any_holder_gets_a_recommendation(path: str, root: Any, types: list[str], kind: str) -> None:
    found = recommend(evidence(Holder(path, root, tuple(types), 1.0), type=kind))
    assert found.title
    assert "cache.py:8" in found.text
