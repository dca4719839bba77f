"""What leaks is found, with its kind, line, type and holder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration
LeakTest = Callable[..., Any]


def test_a_growing_list_is_a_leak_of_the_right_size(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        class Order:
            def __init__(self, number):
                self.text = "order %d" % number * 10

        ORDERS = []

        def step(i):
            ORDERS.append(Order(i))
        """
    )
    assert outcome.code == 1
    report = outcome.report
    assert report["leak"] is True
    assert report["kind"] == "python"
    # An instance with its attribute's value (48 + 24 + 49 + about 90) and its place in the list.
    assert 150 < report["bytes_per_step"] < 350
    assert report["interval"][0] < report["bytes_per_step"] < report["interval"][1]
    assert any("shop.ORDERS" in holder for site in report["sites"] for holder in site["holders"])
    assert {site["line"] for site in report["sites"]} >= {4, 9}
    assert any(site["type"] == "shop.Order" for site in report["sites"])


def test_the_line_that_stores_is_named_first(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        class Cache:
            entries = {}

            def keep(self, key, value):
                self.entries[key] = value

        def make(i):
            return ("value of %d" % i) * 20

        def step(i):
            Cache().keep("k%d" % i, make(i))
        """
    )
    assert outcome.code == 1
    assert outcome.first["function"] == "Cache.keep"
    assert outcome.first["holders"][0].startswith("shop.Cache.entries (class")
    assert "make" in {site["function"] for site in outcome.report["sites"]}


def test_garbage_is_a_leak_when_the_program_turned_the_collector_off(leaktest: LeakTest) -> None:
    code = """
        import gc

        class Node:
            pass

        def setup():
            {setup}

        def step(i):
            a, b = Node(), Node()
            a.other, b.other = b, a
    """
    off = leaktest(code.format(setup="gc.disable()"))
    assert (off.code, off.report["kind"]) == (1, "cycle")
    assert off.first["function"] == "step"
    assert off.first["type"] in ("shop.Node", "dict of shop.Node")
    assert not any("C code: list" in holder for holder in off.first["holders"])  # The test's own.
    on = leaktest(code.format(setup="gc.set_threshold(100_000)"))
    assert (on.code, on.report["kind"]) == (0, "none")


def test_a_reference_lost_in_c_code_is_found_with_its_type(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        import ctypes

        def step(i):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object("text %d" % i * 9))
        """
    )
    assert (outcome.code, outcome.report["kind"]) == (1, "python")
    assert outcome.first["type"] == "str"
    assert outcome.first["holders"][0].startswith("C code")


def test_memory_that_c_code_does_not_free_is_native(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        import ctypes

        malloc = ctypes.CDLL(None).malloc
        malloc.restype = ctypes.c_void_p

        def step(i):
            malloc(200)
        """
    )
    assert (outcome.code, outcome.report["kind"]) == (1, "native")
    assert 180 < outcome.report["bytes_per_step"] < 240
    assert outcome.first["function"] == "step"


def test_a_coroutine_function_is_awaited(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        import asyncio

        SEEN = []

        async def setup():
            await asyncio.sleep(0)

        async def step(i):
            await asyncio.sleep(0)
            SEEN.append("%d" % i * 30)
        """
    )
    assert outcome.code == 1
    assert any("shop.SEEN" in holder for holder in outcome.first["holders"])


def test_the_report_for_people_says_all_that_matters(leaktest: LeakTest) -> None:
    outcome = leaktest(
        """
        SEEN = []

        def step(i):
            print("noise")
            SEEN.append("%d" % i * 30)
        """,
        as_json=False,
    )
    assert outcome.code == 1
    for part in ("LEAK in", "a step (95% sure", "#1  step", "shop.py:6", "type", "held by", "shop.SEEN"):
        assert part in outcome.text
    assert "noise" not in outcome.text
    assert "noise" in outcome.errors
    assert max(map(len, outcome.text.splitlines()[1:])) <= 100
