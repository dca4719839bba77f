"""Statements that differ in values alone are one; repeated ones are found with the line that causes them."""

from __future__ import annotations

import pytest
from heapwatch.instrument.statements import MAX_SHAPES, MAX_TEXT, REPEATED, Statements, shape_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT * FROM t WHERE id = 17", "SELECT * FROM t WHERE id = ?"),
        (
            "SELECT *\n  FROM t1 WHERE name = 'O''Hara' AND x > 1.5",
            "SELECT * FROM t1 WHERE name = ? AND x > ?",
        ),
        ("SELECT a FROM t WHERE id IN (1, 2, 3)", "SELECT a FROM t WHERE id IN (?, ...)"),
        ("SELECT a FROM t WHERE id IN (%s, %s)", "SELECT a FROM t WHERE id IN (%s, ...)"),
        ("SELECT col2 FROM t WHERE id = :id_1", "SELECT col2 FROM t WHERE id = :id_1"),
        ("SELECT a FROM t WHERE id = $1", "SELECT a FROM t WHERE id = $1"),
    ],
)
def test_values_do_not_matter(statement: str, shape: str) -> None:
    assert shape_of(statement) == shape


def test_a_repeated_statement_is_found_with_its_line() -> None:
    statements = Statements()
    for number in range(REPEATED):
        statements.add(f"SELECT * FROM comments WHERE post = {number}", 0.001)
    statements.add("SELECT 1", 0.001)
    assert statements.count == REPEATED + 1
    assert statements.seconds == pytest.approx(0.001 * (REPEATED + 1))
    [(shape, (count, line))] = statements.repeats.items()
    assert shape == "SELECT * FROM comments WHERE post = ?"
    assert count == REPEATED
    assert line.startswith(f"{test_a_repeated_statement_is_found_with_its_line.__name__} ({__file__}:")


def test_what_inner_work_executes_adds_up_with_the_outer_ones() -> None:
    inner, outer = Statements(), Statements()
    for _ in range(3):
        inner.add("SELECT 1", 0.1)
        outer.add("SELECT 1", 0.1)
    outer.merge(inner)
    assert outer.count == 6
    assert outer.repeats == {"SELECT ?": (6, "")}


@given(st.lists(st.text(max_size=3 * MAX_TEXT)))
def test_any_text_is_taken_and_nothing_grows_without_bound(texts: list[str]) -> None:
    statements = Statements()
    for text in [*texts, *(f"SELECT a{number}" for number in range(2 * MAX_SHAPES))]:
        statements.add(text, 0.0)
        assert len(shape_of(text)) <= MAX_TEXT
    assert statements.count == len(texts) + 2 * MAX_SHAPES
