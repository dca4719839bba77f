"""The reader takes back what the writer wrote, and refuses the rest with WireError only."""

from __future__ import annotations

import struct

import pytest
from heapwatch_wire.protobuf import WireError, Writer, read, read_integers, signed
from hypothesis import example, given
from hypothesis import strategies as st

int64 = st.integers(-(1 << 63), (1 << 63) - 1)


@given(int64)
@example(0)
@example(127)
@example(128)
@example((1 << 12) - 1)
@example(1 << 12)
def test_an_integer_comes_back(value: int) -> None:
    [(number, found)] = read(bytes(Writer().integer(536870911, value, keep=True)))
    assert (number, signed(found)) == (536870911, value)


@given(st.lists(int64, min_size=1))
def test_packed_integers_come_back(values: list[int]) -> None:
    [(_, found)] = read(bytes(Writer().integers(1, values)))
    assert read_integers(found) == values


@given(st.floats(allow_nan=False), st.text(st.characters(exclude_categories=["Cs"])), st.binary())
def test_fixed_text_and_bytes_come_back(number: float, text: str, data: bytes) -> None:
    message = bytes(Writer().double(1, number, keep=True).text(2, text, keep=True).data(3, data, keep=True))
    assert list(read(message)) == [(1, struct.pack("<d", number)), (2, text.encode()), (3, data)]


def test_zero_and_empty_values_take_no_bytes() -> None:
    assert bytes(Writer().integer(1, 0).double(2, 0.0).text(3, "").data(4, b"").integers(5, [])) == b""


def test_an_undecodable_file_name_does_not_stop_the_writer() -> None:
    assert bytes(Writer().text(1, "/srv/\udcff.py")).endswith(b"/srv/?.py")


@given(st.binary(max_size=200))
@example(b"\x80" * 11)
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x00\x00")
@example(b"\x0b")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        fields = list(read(data))
    except WireError:
        return
    assert sum(len(value) for _, value in fields if isinstance(value, bytes)) <= len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "breaks off"),
        (b"\x08" + b"\xff" * 10, "longer than 10 bytes"),
        (b"\x0a\x05abc", "5 bytes announced, 3 left"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "field number 0"),
    ],
)
def test_the_refusal_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        list(read(data))
