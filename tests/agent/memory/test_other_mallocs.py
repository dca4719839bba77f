"""Other allocators in malloc's place: the program gets them, and RSS is still divided into parts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from heapwatch import preload

pytestmark = pytest.mark.integration

PROGRAM = """
import json
from heapwatch.allocators import Pymalloc, find_malloc
from heapwatch.memory.own import OwnMemory
from heapwatch.sampler import NullSampler

memory = OwnMemory(find_malloc(), Pymalloc(), NullSampler("none"))
blocks = [bytes(600 + n % 7000) for n in range(30_000)]
full = memory.breakdown()
del blocks
assert memory.trim()
print(json.dumps([full.to_json(), memory.breakdown().to_json()]))
"""


def run(heapwatch: Sequence[str], *options: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*heapwatch, "run", *options, "--", heapwatch[0], "-c", PROGRAM],
        env={**os.environ, "LD_PRELOAD": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("options", [["--malloc", "jemalloc"], ["--native", "--malloc", "jemalloc"]])
def test_jemalloc_tells_what_is_used_and_gives_back_the_rest(
    heapwatch: Sequence[str], options: list[str]
) -> None:
    full, trimmed = run(heapwatch, *options)
    assert full["malloc"]["allocator"] == "jemalloc"
    assert full["explained"] > 0.95
    assert full["parts"]["malloc used"] > 100e6
    assert trimmed["parts"]["malloc used"] < 20e6
    assert trimmed["rss"] < full["rss"] - 90e6


@pytest.mark.parametrize("options", [["--malloc", "mimalloc"], ["--native", "--malloc", "mimalloc"]])
def test_mimalloc_tells_what_it_holds(heapwatch: Sequence[str], options: list[str]) -> None:
    full, trimmed = run(heapwatch, *options)
    assert full["malloc"]["allocator"] == "mimalloc"
    assert full["explained"] > 0.95
    assert full["parts"]["malloc held"] > 100e6
    assert "malloc" not in full["fragmentation"]
    assert trimmed["rss"] <= full["rss"]


def test_an_allocator_that_is_not_there_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preload.PACKAGES, "nomalloc", "libnomalloc1")
    with pytest.raises(preload.CannotPreload, match="nomalloc is not on this machine") as failure:
        preload.allocator("nomalloc")
    assert "libnomalloc1" in failure.value.mend
