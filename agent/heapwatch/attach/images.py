"""Functions of another process by name: executable and libraries are read where they lie in its memory.

So it works for files that were replaced since. Formats: System V gABI (program headers, dynamic section), and
the GNU hash table as the GNU linker writes it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Read = Callable[[int, int], bytes]

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 5, 6, 0x6FFFFEF5
_SYMBOL = struct.Struct("<IBBHQQ")
_LONGEST_CHAIN = 100_000
_LONGEST_TABLE = 1 << 16
_PAGE = 4096
_END = 1 << 63


class Memory:
    """The memory of process `pid`. OSError when that isn't allowed, or there is none at the address."""

    def __init__(self, pid: int, writable: bool = False) -> None:
        self._file = os.open(f"/proc/{pid}/mem", (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes from `address`."""
        if not 0 <= address < _END:
            raise OSError(f"{address:#x} is no address")
        data = os.pread(self._file, size, address)
        if len(data) != size:
            raise OSError(f"only {len(data)} of {size} bytes can be read at {address:#x}")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at `address`, whatever its pages' protection."""
        if os.pwrite(self._file, data, address) != len(data):
            raise OSError(f"can't write {len(data)} bytes at {address:#x}")

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True)
class _Tables:
    """Where the linker's tables of an image lie; `bias` is added to the addresses in them."""

    bias: int
    strings: int
    symbols: int
    buckets: int
    bucket_count: int
    chains: int
    first: int


class Image:
    """An executable or a library, mapped at `base`.

    One that isn't loaded, such as a file that is mapped to be read, or that is broken, defines nothing.
    """

    def __init__(self, name: str, base: int, read: Read) -> None:
        self.name = name
        self._read = read
        try:
            self._tables = _tables(base, read)
        except OSError:
            self._tables = None

    def find(self, symbol: str) -> int | None:
        """The address of what this image defines under that name."""
        if self._tables is None or not self._tables.bucket_count:
            return None
        try:
            return self._look_up(self._tables, symbol)
        except OSError:
            return None

    def _look_up(self, tables: _Tables, symbol: str) -> int | None:
        code = gnu_hash(symbol)
        index = self._word(tables.buckets + 4 * (code % tables.bucket_count))
        if index < tables.first:
            return None
        for position in range(index, index + _LONGEST_CHAIN):
            found = self._word(tables.chains + 4 * (position - tables.first))
            if found | 1 == code | 1:
                address = self._defined(tables, position, symbol.encode() + b"\0")
                if address is not None:
                    return address
            if found & 1:
                break
        return None

    def _defined(self, tables: _Tables, position: int, name: bytes) -> int | None:
        entry = self._read(tables.symbols + _SYMBOL.size * position, _SYMBOL.size)
        string, _, _, section, value, _ = _SYMBOL.unpack(entry)
        if not section or self._read(tables.strings + string, len(name)) != name:
            return None
        return tables.bias + int(value)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 4), "little")


def images(pid: int, read: Read) -> Iterator[Image]:
    """What is mapped from ELF files into process `pid`, its executable first. OSError without permission."""
    executable = str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)")
    found = [(path, base) for path, base in _mapped(pid) if read(base, 6) == _ELF64_LITTLE]
    for path, base in sorted(found, key=lambda entry: entry[0] != executable):
        yield Image(path, base, read)


def mapping_at(pid: int, address: int) -> str:
    """The file that is mapped at `address`, "" for none."""
    for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
        first, _, end = line.split(" ", 1)[0].partition("-")
        if int(first, 16) <= address < int(end, 16):
            return _path(line)
    return ""


def gnu_hash(name: str) -> int:
    """The hash of a symbol's name in a GNU hash table."""
    code = 5381
    for byte in name.encode():
        code = (code * 33 + byte) & 0xFFFFFFFF
    return code


def _mapped(pid: int) -> Iterator[tuple[str, int]]:
    """(path, address) of the beginning of each mapped file."""
    for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
        addresses, permissions, offset = line.split(" ", 3)[:3]
        if _path(line).startswith("/") and permissions.startswith("r") and int(offset, 16) == 0:
            yield _path(line), int(addresses.partition("-")[0], 16)


def _path(line: str) -> str:
    fields = line.split(None, 5)
    return fields[5].removesuffix(" (deleted)") if len(fields) > 5 else ""


def _tables(base: int, read: Read) -> _Tables | None:
    headers, size, count = struct.unpack("<32xQ14xHH4x", read(base, 62))[:3]
    dynamic, bias = None, None
    for index in range(count):
        kind, _, _, address, _, _, length, _ = struct.unpack(
            "<IIQQQQQQ", read(base + headers + index * size, 56)
        )
        if kind == _PT_LOAD and bias is None:
            bias = base - (address & -_PAGE)
        elif kind == _PT_DYNAMIC:
            dynamic = address, length
    if dynamic is None or bias is None or dynamic[1] > _LONGEST_TABLE:
        return None
    entries = dict(struct.iter_unpack("<QQ", read(bias + dynamic[0], dynamic[1] & -16)))
    if not {_DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH} <= entries.keys():
        return None
    # glibc's loader adds the bias in place, musl's doesn't.
    strings, symbols, table = (
        entries[tag] + (bias if entries[tag] < bias else 0) for tag in (_DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH)
    )
    buckets, first, bloom, _ = struct.unpack("<IIII", read(table, 16))
    after_bloom = table + 16 + 8 * bloom
    return _Tables(bias, strings, symbols, after_bloom, buckets, after_bloom + 4 * buckets, first)
