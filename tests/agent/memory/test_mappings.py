"""Kinds of mappings from recorded smaps files, and from this process."""

from __future__ import annotations

import os
import threading
from io import BytesIO
from pathlib import Path

import pytest
from heapwatch.memory.mappings import Mapping, Pages, kind_of, parse, read_mappings

KIB = 1024


def entry(addresses: str, permissions: str, name: str, flags: str = "rd wr mr mw me ac", **sizes: int) -> str:
    lines = [f"{addresses} {permissions} 00000000 00:00 {7 if name.startswith('/') else 0}{' ' * 20}{name}"]
    lines += [f"{key + ':':<16}{sizes.get(key, 0):>8} kB" for key in ("Size", "Rss", "Pss", "Shared_Clean")]
    lines += [f"{key + ':':<16}{sizes.get(key, 0):>8} kB" for key in ("Shared_Dirty", "Private_Clean")]
    lines += [f"{key + ':':<16}{sizes.get(key, 0):>8} kB" for key in ("Private_Dirty", "Swap")]
    return "\n".join([*lines, "THPeligible:           0", f"VmFlags: {flags} "]) + "\n"


RECORDED = (
    entry("00400000-00500000", "r-xp", "/usr/bin/python 3 (deleted)", Rss=800, Pss=400, Shared_Clean=800)
    + entry("00500000-00510000", "rw-p", "/usr/bin/python3", Rss=64, Pss=64, Private_Dirty=64)
    + entry("01000000-02000000", "rw-p", "[heap]", Rss=9000, Pss=9000, Private_Dirty=9000, Swap=12)
    + entry("7f0000000000-7f0000021000", "rw-p", "", "rd wr mr mw me nr", Rss=132, Private_Dirty=132)
    + entry("7f0000021000-7f0004000000", "---p", "", "mr mw me nr")
    + entry("7f0010200000-7f0010300000", "rw-p", "", "rd wr mr mw me nr", Rss=300, Private_Dirty=300)
    + entry("7f0020000000-7f0020001000", "---p", "", "mr mw me")
    + entry("7f0020001000-7f0020801000", "rw-p", "", "rd wr mr mw me ac nh", Rss=28, Private_Dirty=28)
    + entry("7f0030000000-7f0030400000", "rw-p", "", Rss=4096, Shared_Dirty=1024, Private_Dirty=3072)
    + entry("7f0040000000-7f0040100000", "rw-s", "/SYSV00000000 (deleted)", Rss=1000, Shared_Dirty=1000)
    + entry("7f0040100000-7f0040200000", "rw-s", "/memfd:ring (deleted)", Rss=24, Shared_Dirty=24)
    + entry("7ffc00000000-7ffc00021000", "rw-p", "[stack]", Rss=132, Private_Dirty=132)
    + entry("7ffc00030000-7ffc00032000", "r-xp", "[vdso]", Rss=4, Shared_Clean=4)
)


def test_a_recorded_process_is_totalled_by_kind(tmp_path: Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "smaps").write_text(RECORDED)
    totals = read_mappings(tmp_path, "42")
    assert {kind: pages.rss // KIB for kind, pages in totals.items()} == {
        "files": 864,
        "heap": 9000,
        "thread heaps": 132,
        "unreserved": 300,
        "stacks": 160,
        "anonymous": 4096,
        "shared memory": 1024,
        "other": 4,
    }
    assert totals["files"] == Pages(864 * KIB, 464 * KIB, shared_clean=800 * KIB, private_dirty=64 * KIB)
    assert totals["heap"].swap == 12 * KIB
    assert (totals["anonymous"].shared, totals["anonymous"].private) == (1024 * KIB, 3072 * KIB)


def test_nothing_of_the_text_is_left_out() -> None:
    mappings = list(parse(BytesIO(RECORDED.encode())))
    assert len(mappings) == 13
    assert mappings[0].name == "/usr/bin/python 3 (deleted)"
    assert sum(m.pages.rss for m in mappings) == RSS_RECORDED


@pytest.mark.parametrize("step", [1, 7, 100, 1000])
def test_mappings_are_the_same_however_the_text_comes(step: int) -> None:
    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(step)

    assert list(parse(Slow(RECORDED.encode()))) == list(parse(BytesIO(RECORDED.encode())))


RSS_RECORDED = (800 + 64 + 9000 + 132 + 300 + 28 + 4096 + 1000 + 24 + 132 + 4) * KIB


def test_an_old_kernel_without_flags_still_tells_heap_files_and_stacks() -> None:
    text = "\n".join(line for line in RECORDED.splitlines() if not line.startswith("VmFlags")) + "\n"
    mappings = list(parse(BytesIO(text.encode())))
    assert [kind_of(m, None) for m in mappings][:3] == ["files", "files", "heap"]
    assert sum(m.pages.rss for m in mappings) == RSS_RECORDED


@pytest.mark.parametrize(
    ("below", "flags", "kind"),
    [
        ((0x1000, 0x2000, "---p", ""), "", "stacks"),
        ((0x1000, 0x2000, "rw-p", ""), "", "anonymous"),
        ((0x1000, 0x2000, "---p", "/lib/x.so"), "", "anonymous"),
        ((0x0, 0x1000, "---p", ""), "", "anonymous"),
        (None, "gu", "stacks"),
        (None, "", "anonymous"),
    ],
)
def test_a_stack_is_known_by_its_guard(
    below: tuple[int, int, str, str] | None, flags: str, kind: str
) -> None:
    def mapping(start: int, end: int, permissions: str, name: str, flags: str = "") -> Mapping:
        return Mapping(start, end, permissions, name, frozenset(flags.split()), Pages())

    low = None if below is None else mapping(*below)
    assert kind_of(mapping(0x2000, 0x900000, "rw-p", "", flags), low) == kind


def test_this_process_sums_to_what_the_kernel_says() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    totals = read_mappings()
    rollup = Path("/proc/self/smaps_rollup").read_text().split()
    stop.set()
    rss = int(rollup[rollup.index("Rss:") + 1]) * KIB
    assert sum(pages.rss for pages in totals.values()) == pytest.approx(rss, rel=0.02)
    assert all(pages.shared + pages.private == pages.rss for pages in totals.values())
    assert totals["stacks"].rss >= 3 * 2 * os.sysconf("SC_PAGE_SIZE")
    for thread in threads:
        thread.join()


def test_a_process_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="smaps"):
        read_mappings(tmp_path, "4711")
