"""How references and types read in a holder's path."""

from __future__ import annotations

import collections
import enum
from typing import Any

import pytest
from heapwatch.leaks.references import MAX_SCANNED, describe, step, type_name


class Thing:
    class Inner:
        pass


class Keys(enum.Enum):
    FIRST = 1


HELD = Thing()


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        ({"a": HELD}, "['a']"),
        ({("GET", 3): HELD}, "[('GET', 3)]"),
        ({("one",): HELD}, "[('one',)]"),
        ({3.5: HELD}, "[3.5]"),
        ({b"raw": HELD}, "[b'raw']"),
        ({None: HELD}, "[None]"),
        ({Keys.FIRST: HELD}, f"[<{__name__}.Keys>]"),
        ({HELD: 1}, " (key)"),
        ({"x" * 100: HELD}, "['" + "x" * 37 + "…']"),
        ([0, 1, HELD], "[2]"),
        ((HELD,), "[0]"),
        (collections.deque([HELD]), "[0]"),
        ({HELD}, "{*}"),
        (frozenset([HELD]), "{*}"),
        (collections.OrderedDict(a=HELD), "['a']"),
    ],
)
def test_a_reference_reads_as_python_writes_it(holder: Any, text: str) -> None:
    assert step(holder, HELD).text == text


def test_keys_and_indices_generalise_and_attributes_do_not() -> None:
    assert step({"a": HELD}, HELD).general == "[*]"
    assert step([HELD], HELD).general == "[*]"
    thing = Thing()
    thing.part = HELD  # type: ignore[attr-defined]
    assert step(thing, HELD).general == ".part"


def test_a_huge_container_is_not_searched_for_the_key() -> None:
    assert step(dict.fromkeys(range(MAX_SCANNED + 1), HELD), HELD).text == "[*]"


def test_a_reference_that_is_gone_meanwhile_is_unknown() -> None:
    assert step({}, HELD).text == "[*]"
    assert step([], HELD).text == "[*]"


def test_types_are_named_with_their_module() -> None:
    assert type_name(dict) == "dict"
    assert type_name(Thing.Inner) == f"{__name__}.Thing.Inner"
    assert type_name(collections.OrderedDict) == "collections.OrderedDict"


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ([], ""),
        ([HELD], f"{__name__}.Thing"),
        ([[1, 2], [3]], "list of int"),
        ([[1, 2, HELD]], f"list of {__name__}.Thing"),
        ([{"a": HELD}], f"dict of {__name__}.Thing"),
        ([{}], "dict"),
        ([set()], "set"),
        (["text"], "str"),
    ],
)
def test_containers_are_described_by_their_contents(objects: list[object], text: str) -> None:
    assert describe(objects) == text
