"""What only looks like a leak for a while is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration
LeakTest = Callable[..., Any]

PROGRAMS = {
    "nothing is kept": """
        def step(i):
            return [str(k) for k in range(50)]
    """,
    "a cache that is full early": """
        from functools import lru_cache

        @lru_cache(maxsize=150)
        def page(i):
            return {"text": "page %d" % i * 20}

        def step(i):
            page(i)
    """,
    "a cache that evicts the oldest": """
        from collections import deque

        RING = deque(maxlen=200)

        def step(i):
            RING.append("entry %d" % i * 20)
    """,
    "a queue that is worked off": """
        QUEUE = []

        def step(i):
            if i % 200 < 100:
                QUEUE.extend(["message %d" % i * 20] * 2 and ["m%d" % i * 40, "n%d" % i * 40])
            else:
                del QUEUE[:2]
    """,
    "names in the interpreter's type cache": """
        class Visitor:
            pass

        def step(i):
            getattr(Visitor, "visit_%d" % i, None)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_leak(leaktest: LeakTest, name: str) -> None:
    outcome = leaktest(PROGRAMS[name])
    assert outcome.code == 0, outcome.text
    assert outcome.report["leak"] is False
    assert outcome.report["kind"] == "none"
    assert outcome.report["sites"] == []
