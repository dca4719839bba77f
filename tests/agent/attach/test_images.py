"""Functions found in the memory of a process."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

import pytest
from heapwatch.attach.images import Image, Memory, images, mapping_at
from hypothesis import given
from hypothesis import strategies as st

HEADER = b"\x7fELF\x02\x01".ljust(16, b"\0")


@pytest.fixture
def own() -> Iterator[Memory]:
    memory = Memory(os.getpid())
    yield memory
    memory.close()


@pytest.mark.parametrize("name", ["Py_AddPendingCall", "PyRun_SimpleString", "mmap", "pthread_create"])
def test_functions_are_where_the_loader_says(name: str, own: Memory) -> None:
    expected = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    found = [image.find(name) for image in images(os.getpid(), own.read)]
    assert expected in found
    assert mapping_at(os.getpid(), expected or 0).startswith("/")


def test_what_nobody_defines_is_not_found(own: Memory) -> None:
    assert not any(image.find("heapwatch_defines_no_such_thing") for image in images(os.getpid(), own.read))


@given(
    rest=st.binary(min_size=48, max_size=400),
    headers=st.integers(0, 200),
    count=st.integers(0, 8),
    kind=st.sampled_from([1, 2]),
    address=st.integers(0, 300),
)
def test_broken_images_define_nothing(rest: bytes, headers: int, count: int, kind: int, address: int) -> None:
    blob = bytearray((HEADER + rest).ljust(512, b"\0"))
    blob[32:40] = struct.pack("<Q", headers)
    blob[54:58] = struct.pack("<HH", 56, count)
    for index in range(count):
        place = headers + 56 * index
        blob[place : place + 4] = struct.pack("<I", 1 if index == 0 else kind)
        blob[place + 16 : place + 24] = struct.pack("<Q", address if index else 0)

    def read(start: int, size: int) -> bytes:
        data = bytes(blob[start : start + size]) if start >= 0 else b""
        if len(data) != size:
            raise OSError("nothing there")
        return data

    found = Image("broken", 0, read).find("mmap")
    assert found is None or found >= 0
