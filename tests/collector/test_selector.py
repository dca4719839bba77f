"""Label selectors: what Prometheus and Pyroscope users write is read as they mean it."""

from __future__ import annotations

import contextlib

import pytest
from heapwatch_collector.errors import Malformed
from heapwatch_collector.query.selector import Matcher, parse
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.]{0,20}\Z")
MATCHERS = st.builds(Matcher, NAMES, st.sampled_from(["=", "!=", "=~", "!~"]), st.text(max_size=30))


@given(st.lists(MATCHERS, max_size=5))
def test_what_is_written_is_read_back(matchers: list[Matcher]) -> None:
    assert parse("{" + ", ".join(map(str, matchers)) + "}") == tuple(matchers)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert all(isinstance(matcher, Matcher) for matcher in parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("{}", ()),
        ("  { } ", ()),
        ('service_name="shop"', (Matcher("service_name", "=", "shop"),)),
        ('{service_name="shop",}', (Matcher("service_name", "=", "shop"),)),
        ("{a='it''s'}", None),
        ("{a='x', b=`\\d+`}", (Matcher("a", "=", "x"), Matcher("b", "=", "\\d+"))),
        (r'{a="q\"\\\n\u00e9"}', (Matcher("a", "=", 'q"\\\né'),)),
        ('{a!~"x.*",service.name=~"y"}', (Matcher("a", "!~", "x.*"), Matcher("service.name", "=~", "y"))),
    ],
)
def test_forms(text: str, expected: tuple[Matcher, ...] | None) -> None:
    if expected is None:
        with pytest.raises(Malformed):
            parse(text)
    else:
        assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{a="x"',
        'a="x"}',
        "{a=x}",
        '{="x"}',
        '{a="x" b="y"}',
        '{a="x}',
        '{a=="x"}',
        '{,a="x"}',
        "{a}",
        '{1a="x"}',
    ],
)
def test_broken_ones_are_refused_with_the_place(text: str) -> None:
    with pytest.raises(Malformed, match="label selector"):
        parse(text)
