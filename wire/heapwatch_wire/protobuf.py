"""The protobuf wire format in the standard library: a writer, and a reader that trusts nothing.

Field numbers and types come from the caller; https://protobuf.dev/programming-guides/encoding/ is the source
of the format. Only what our messages need is here: varints, fixed 64-bit numbers, bytes, packed numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF
_MAX_FIELD: Final = (1 << 29) - 1


class WireError(ValueError):
    """Bytes that are not a protobuf message, or more of them than allowed."""


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Ids, indices and lengths are small: a look-up is ten times cheaper than the loop.
_SMALL: Final = tuple(_encode_varint(value) for value in range(1 << 9))


def varint(value: int) -> bytes:
    """`value` (int64 or uint64; negative ones in two's complement) as a varint."""
    if 0 <= value < len(_SMALL):
        return _SMALL[value]
    return _encode_varint(value & _U64)


class Writer:
    """Builds one message. As in proto3, a zero or empty value is left out unless `keep` asks for it."""

    __slots__ = ("_out",)

    def __init__(self) -> None:
        self._out = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._out)

    def integer(self, field: int, value: int, *, keep: bool = False) -> Writer:
        """An int64, uint64, enum or bool."""
        if value or keep:
            self._out += varint(field << 3 | _VARINT) + varint(value)
        return self

    def fixed64(self, field: int, value: int, *, keep: bool = False) -> Writer:
        """A fixed64 or sfixed64."""
        if value or keep:
            self._out += varint(field << 3 | _FIXED64) + struct.pack("<Q", value & _U64)
        return self

    def double(self, field: int, value: float, *, keep: bool = False) -> Writer:
        """A double."""
        if value or keep:
            self._out += varint(field << 3 | _FIXED64) + struct.pack("<d", value)
        return self

    def data(self, field: int, value: bytes, *, keep: bool = False) -> Writer:
        """Bytes, or a message or packed field that is already encoded."""
        if value or keep:
            self._out += varint(field << 3 | _BYTES) + varint(len(value))
            self._out += value
        return self

    def text(self, field: int, value: str, *, keep: bool = False) -> Writer:
        """A string; lone surrogates (from undecodable file names) become question marks: UTF-8 has none."""
        return self.data(field, value.encode("utf-8", "replace"), keep=keep)

    def message(self, field: int, value: Writer) -> Writer:
        """A sub-message, written even when it is empty."""
        return self.data(field, bytes(value._out), keep=True)

    def raw(self, fields: bytes) -> Writer:
        """Fields that are encoded already."""
        self._out += fields
        return self

    def integers(self, field: int, values: Iterable[int]) -> Writer:
        """Packed int64 or uint64."""
        return self.data(field, b"".join(map(varint, values)))

    def fixed64s(self, field: int, values: Sequence[int]) -> Writer:
        """Packed fixed64."""
        return self.data(field, struct.pack(f"<{len(values)}Q", *values))

    def doubles(self, field: int, values: Sequence[float]) -> Writer:
        """Packed doubles."""
        return self.data(field, struct.pack(f"<{len(values)}d", *values))


Value: TypeAlias = int | bytes
"""A varint as an unsigned integer; fixed numbers and length-delimited fields as their bytes."""


def read(data: bytes) -> Iterator[tuple[int, Value]]:
    """(field number, value) of each field of a message, in order. Raises WireError where it breaks off.

    Groups (deprecated, in none of our messages) are refused.
    """
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        field, kind = key >> 3, key & 7
        if not 1 <= field <= _MAX_FIELD:
            raise WireError(f"field number {field} at byte {position}")
        if kind == _VARINT:
            value, position = _read_varint(data, position)
            yield field, value
            continue
        if kind == _BYTES:
            length, position = _read_varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise WireError(f"wire type {kind} at byte {position}")
        if length > len(data) - position:
            raise WireError(
                f"field {field} breaks off: {length} bytes announced, {len(data) - position} left"
            )
        yield field, data[position : position + length]
        position += length


def read_integers(value: Value) -> list[int]:
    """The int64 values of one occurrence of a repeated field, packed or not."""
    if isinstance(value, int):
        return [signed(value)]
    found, position = [], 0
    while position < len(value):
        number, position = _read_varint(value, position)
        found.append(signed(number))
    return found


def signed(value: Value) -> int:
    """A varint as int64; WireError if the field is not a varint."""
    if not isinstance(value, int):
        raise WireError("a number was expected")
    return value - (1 << 64) if value >> 63 else value


def submessage(value: Value) -> bytes:
    """A length-delimited field; WireError if it is a number."""
    if not isinstance(value, bytes):
        raise WireError("a message or string was expected")
    return value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError("a number breaks off at the end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _U64, position
    raise WireError(f"a number longer than 10 bytes ends at byte {position}")
