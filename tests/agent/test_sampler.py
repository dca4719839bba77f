"""The typed wrapper around the extension, and what stands in for it."""

from __future__ import annotations

import struct
import threading
from contextvars import ContextVar

import pytest
from heapwatch.sampler import (
    NO_LABEL,
    OTHER_ENDPOINTS,
    OWN_WORK,
    Labels,
    Lifetimes,
    NativeLifetimes,
    NativeRow,
    NativeSampler,
    NullSampler,
    Row,
    Totals,
    supported,
)
from heapwatch.scopes import Scope
from heapwatch_wire.sites import Frame


class ScriptedExtension:
    """The functions of `heapwatch._sampler`, with rows that the test writes."""

    def __init__(self) -> None:
        self.rows: list[NativeRow] = []
        self.calls: list[tuple[object, ...]] = []

    def start(self, interval: int, max_depth: int, seed: int = 0) -> None:
        self.calls.append(("start", interval, max_depth, seed))

    def stop(self) -> None:
        self.calls.append(("stop",))

    def set_interval(self, interval: int) -> None:
        self.calls.append(("interval", interval))

    def set_label(self, label: int) -> int:
        return label - 1

    def export(self, since: int = 0, live: bool = False, own: int = 0) -> list[NativeRow]:
        return [row for row in self.rows if (row[6] > 0 or not live) and not (own and row[3] == own)]

    def totals(
        self, live: bool = False, own: int = 0
    ) -> tuple[list[tuple[int, int, str, float, float, float, float]], float]:
        rows = self.export(live=live)
        left_out = sum(row[6] for row in rows if row[3] == own)
        return [(row[0], row[3], row[4], *row[5:]) for row in rows if row[3] != own], left_out

    def levels(self, own: int) -> tuple[bytes, float]:
        rows, left_out = self.totals(live=True, own=own)
        return b"".join(struct.pack("=Qdd", row[0], row[4], row[3]) for row in rows), left_out

    def frames(self, stack: int) -> tuple[tuple[str, str, int], ...]:
        return next((row[1] for row in self.rows if row[0] == stack), ())

    def profile(
        self, names: dict[int, str], own: int = 0, take: bool = False, peak: bool = False
    ) -> tuple[bytes, bytes, float]:
        self.calls.append(("profile", names, own, take))
        return b"message", b"taken", 77.0

    def give_back(self, allocated: bytes) -> None:
        self.calls.append(("give_back", allocated))

    def follow(self, variable: ContextVar[Scope | None]) -> None:
        self.followed = variable

    def current_label(self) -> int:
        scope = self.followed.get(None)
        return scope.label if scope else 0

    def watch_arrays(self, table: object) -> str:
        return ""

    def live_samples(self, stack: int, limit: int) -> list[tuple[int, int, float, int]]:
        return [(4096, 64, 1.5, 2)][:limit]

    def lifetimes(self, stacks: list[int]) -> list[NativeLifetimes]:
        return [(stack, (1.0, 2.0), (64.0, 128.0), (), (0.0, 3.5)) for stack in stacks]

    def stats(self) -> dict[str, int | float]:
        return {"interval": 512}


def test_rows_come_out_typed_and_frames_are_shared() -> None:
    native = ScriptedExtension()
    native.rows = [
        (7, (("f", "a.py", 1), ("main", "m.py", 2)), False, 9, "T1", 2.0, 128.0, 3.0, 192.0),
        (7, (("f", "a.py", 1), ("main", "m.py", 2)), True, 0, "T2", 1.0, 64.0, 1.0, 64.0),
    ]
    sampler = NativeSampler(native, 512, 64, Labels())
    sampler.start()
    first, second = sampler.export()
    assert native.calls == [("start", 512, 64, 0)]
    assert first == Row(
        7, (Frame("f", "a.py", 1), Frame("main", "m.py", 2)), False, 9, "T1", 2.0, 128.0, 3.0, 192.0
    )
    assert second.truncated
    assert sampler.totals() == [
        Totals(7, 9, "T1", 2.0, 128.0, 3.0, 192.0),
        Totals(7, 0, "T2", 1.0, 64.0, 1.0, 64.0),
    ]
    assert list(sampler.levels()) == [(7, 128.0, 2.0), (7, 64.0, 1.0)]
    assert sampler.frames(7) == first.frames
    assert sampler.frames(8) == ()
    assert sampler.live_samples(7, 5)[0].birth == 1.5
    assert sampler.set_label(3) == 2


def test_the_agents_own_work_is_no_row_but_a_figure() -> None:
    native, labels = ScriptedExtension(), Labels()
    sampler = NativeSampler(native, 512, 64, labels)
    own, theirs = labels.intern(OWN_WORK), labels.intern("GET /")
    native.rows = [
        (7, (("push", "p.py", 1),), False, own, "", 2.0, 128.0, 3.0, 192.0),
        (8, (("page", "a.py", 1),), False, theirs, "", 1.0, 64.0, 1.0, 64.0),
    ]
    assert [row.stack_id for row in sampler.export()] == [8]
    assert [row.stack_id for row in sampler.totals()] == [8]
    assert list(sampler.levels()) == [(8, 64.0, 1.0)]
    assert sampler.stats() == {"interval": 512, "agent_bytes": 128.0, "interval_changes": 0}


def test_a_profile_is_asked_for_with_names_and_without_the_agents_own_work() -> None:
    native, labels = ScriptedExtension(), Labels()
    sampler = NativeSampler(native, 512, 64, labels)
    own = labels.intern(OWN_WORK)
    encoded = sampler.profile(take=True)
    sampler.give_back(encoded.allocated)
    assert bytes(encoded.message) == b"message"
    assert native.calls == [("profile", {0: "", own: OWN_WORK}, own, True), ("give_back", b"taken")]
    assert sampler.stats()["agent_bytes"] == 77.0


def test_the_stand_in_is_empty_and_says_why() -> None:
    sampler = NullSampler("no compiler")
    assert sampler.reason == "no compiler"
    assert (sampler.export(), list(sampler.owners([1], 1)), sampler.live_samples(1, 1)) == ([], [], [])
    assert (sampler.totals(), list(sampler.levels()), sampler.frames(1)) == ([], [], ())
    with pytest.raises(RuntimeError, match="no compiler"):
        sampler.profile(take=True)
    assert (sampler.stats(), sampler.set_label(5)) == ({}, NO_LABEL)


def test_names_get_labels_and_get_back() -> None:
    labels = Labels()
    assert labels.name(labels.intern("GET /")) == "GET /"
    assert labels.intern("GET /") == labels.intern("GET /") != NO_LABEL
    assert labels.name(NO_LABEL) == labels.name(999) == ""


def test_names_are_bounded() -> None:
    labels = Labels(limit=3)
    ids = {labels.intern(f"GET /{number}") for number in range(100)}
    assert len(ids) == 4
    assert OTHER_ENDPOINTS in {labels.name(label) for label in ids}


def test_threads_agree_on_labels() -> None:
    labels = Labels()
    found: list[list[int]] = []
    barrier = threading.Barrier(4)

    def intern() -> None:
        barrier.wait()
        found.append([labels.intern(f"GET /{number}") for number in range(200)])

    threads = [threading.Thread(target=intern) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == found[0] for ids in found)
    assert [labels.name(label) for label in found[0]] == [f"GET /{number}" for number in range(200)]


def test_lifetimes_come_out_by_stack() -> None:
    sampler = NativeSampler(ScriptedExtension(), 512, 64, Labels())
    expected = Lifetimes((1.0, 2.0), (64.0, 128.0), (), (0.0, 3.5))
    assert sampler.lifetimes({3, 4}) == {3: expected, 4: expected}
    assert NullSampler("no reason").lifetimes([7]) == {}


def test_only_pythons_that_the_extension_knows_are_sampled() -> None:
    assert supported("cpython", (3, 11), without_gil=False)
    assert supported("cpython", (3, 13), without_gil=False)
    assert not supported("cpython", (3, 13), without_gil=True)
    assert not supported("cpython", (3, 14), without_gil=False)
    assert not supported("pypy", (3, 11), without_gil=False)
