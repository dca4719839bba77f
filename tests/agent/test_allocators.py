"""What pymalloc and malloc say follows what this process allocates."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
from heapwatch.allocators import AllocatorMemory, Pymalloc, find_malloc, fragmentation


def test_pymalloc_follows_small_objects(capfd: pytest.CaptureFixture[str]) -> None:
    gc.collect()  # what this process has for garbage would be freed meanwhile
    before = Pymalloc().memory()
    ballast = [(number, number) for number in range(100_000)]
    after = Pymalloc().memory()
    if before is None or after is None:
        pytest.skip("this Python hides its allocator's statistics")
    # A tuple of two takes 40 bytes and 16 for the garbage collector.
    assert after.used - before.used > 0.9 * len(ballast) * 56
    assert after.held >= after.used
    assert capfd.readouterr() == ("", "")


def test_malloc_follows_big_blocks() -> None:
    gc.collect()
    before = find_malloc().memory()
    ballast = [bytearray(100_000) for _ in range(100)]
    after = find_malloc().memory()
    if before is None or after is None:
        pytest.skip("this C library has no mallinfo2")
    assert after.used - before.used > 0.9 * sum(map(len, ballast))
    assert after.held >= after.used


def test_another_c_library_is_no_error() -> None:
    assert find_malloc(SimpleNamespace()).memory() is None


def test_fragmentation_is_held_and_unused_over_held() -> None:
    assert fragmentation(AllocatorMemory(100, 75), AllocatorMemory(300, 225), None) == pytest.approx(0.25)
    assert fragmentation(None, None) is None
    assert fragmentation(AllocatorMemory(0, 0)) is None
