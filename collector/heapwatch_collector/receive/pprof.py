"""pprof profiles into sample rows.

A sample's stack is stored once, under a hash of its frames; the row carries that hash, the hash of the
frame that is responsible for it (its site) and the labels `endpoint` and `thread`.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from heapwatch_wire.proto import Profile
from heapwatch_wire.sites import UNKNOWN, Frame, responsible, site_id

from heapwatch_collector.errors import Malformed
from heapwatch_collector.receive.bodies import GZIP_MAGIC, gunzip
from heapwatch_collector.store.batch import Batch, Instance, Series, labels_tuple, stack_id

MAX_SAMPLE_TYPES = 32
MAX_LABELS = 64
MAX_TEXT = 1024
# A clock may run a little ahead of ours; data from further in the future would outlive the retention.
CLOCK_SKEW_MS = 3_600_000

_THREAD_LABELS = ("thread", "thread_name")


@dataclass(frozen=True)
class Limits:
    """What a delivery may be: bytes when decompressed, and the oldest time (seconds ago) that is kept."""

    body: int
    retention: float


def decode(data: bytes, limit: int) -> Profile:
    """The profile in `data`, gzip or not. Raises Malformed or TooLarge."""
    if data.startswith(GZIP_MAGIC):
        data = gunzip(data, limit)
    if not data:
        raise Malformed("the profile is empty", "send a pprof profile")
    profile = Profile()
    try:
        profile.ParseFromString(data)
    except DecodeError:
        raise Malformed("the profile is not a pprof message", "send pprof's profile.proto") from None
    return profile


def series_of(labels: Mapping[str, str]) -> Series:
    """The series that a producer with these labels sends. Raises Malformed for unusable labels."""
    if len(labels) > MAX_LABELS:
        raise Malformed(f"{len(labels)} labels; {MAX_LABELS} are accepted")
    for name, value in labels.items():
        if not name or len(name) > MAX_TEXT or len(value) > MAX_TEXT:
            raise Malformed(f"label {name[:80]!r} is empty or longer than {MAX_TEXT} characters")
    found = {"service_name": "unknown_service", **labels}
    return Series(
        service=found["service_name"],
        signal="profile",
        name=found.get("__name__", ""),
        version=found.get("service_version", ""),
        instance=found.get("instance", ""),
        labels=labels_tuple({k: v for k, v in found.items() if v}),
    )


def add_profile(batch: Batch, profile: Profile, series: Series, limits: Limits) -> None:
    """Put the rows of `profile` into `batch`. Raises Malformed when it contradicts itself."""
    reader = _Reader(profile)
    types = reader.type_ids(series.name)
    now = int(clock.time() * 1000)
    time = profile.time_nanos // 1_000_000 or now
    check_time(time, now, limits.retention)
    number = batch.add_series(series)
    rows: list[tuple[Any, ...]] = []
    for sample in profile.sample:
        if len(sample.value) != len(types):
            raise Malformed(f"a sample has {len(sample.value)} values for {len(types)} sample types")
        stack, frames, site = reader.stack(sample.location_id)
        endpoint, thread = reader.labels(sample)
        batch.stacks[stack] = frames
        for kind, value in zip(types, sample.value, strict=True):
            if value < 0:
                raise Malformed(f"a sample has the negative value {value}")
            if value:
                rows.append((series.service, kind, number, time, stack, site, endpoint, thread, value))
    batch.add_samples(rows)
    batch.add_profile(series.service, number, time, types, profile.period)
    labels = dict(series.labels)
    batch.add_instance(
        Instance(
            series.service, series.version, series.instance, labels.get("pid", ""), labels.get("host", "")
        ),
        time,
    )
    if profile.time_nanos:
        batch.key += ((number, profile.time_nanos),)


def check_time(time: int, now: int, retention: float) -> None:
    """Raise Malformed when `time` (Unix ms) is in the future or older than what is kept."""
    if time > now + CLOCK_SKEW_MS:
        raise Malformed(f"the time {time / 1000:.0f} is in the future", "set the sender's clock")
    if time < now - retention * 1000:
        raise Malformed(
            f"the time {time / 1000:.0f} is older than the retention",
            "set the sender's clock or HEAPWATCH_RETENTION",
        )


class _Reader:
    """Looks up a profile's tables, refusing what points nowhere; each frame is made and hashed once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._strings = list(profile.string_table)
        self._functions = {f.id: f for f in profile.function}
        self._locations = {location.id: location for location in profile.location}
        self._frames: dict[int, list[tuple[Frame, int]]] = {}
        self._stacks: dict[tuple[int, ...], tuple[int, tuple[Frame, ...], int]] = {}

    def text(self, index: int) -> str:
        if not 0 <= index < len(self._strings):
            raise Malformed(f"the string table has no entry {index}")
        return self._strings[index][:MAX_TEXT]

    def type_ids(self, name: str) -> list[str]:
        """`name:sample_type:sample_unit:period_type:period_unit` of each value of a sample."""
        profile = self._profile
        if not 0 < len(profile.sample_type) <= MAX_SAMPLE_TYPES:
            raise Malformed(f"{len(profile.sample_type)} sample types; 1 to {MAX_SAMPLE_TYPES} are accepted")
        period = (
            [self.text(profile.period_type.type), self.text(profile.period_type.unit)]
            if self._strings
            else []
        )
        parts = [[name, self.text(t.type), self.text(t.unit), *period] for t in profile.sample_type]
        return [":".join(part.replace(":", "_") for part in found) for found in parts]

    def stack(self, location_ids: Any) -> tuple[int, tuple[Frame, ...], int]:
        """(hash, frames innermost first, hash of the responsible frame)."""
        key = tuple(location_ids)
        if key not in self._stacks:
            found = [frame for location in key for frame in self._location(location)] or [_frame(UNKNOWN)]
            frames = tuple(frame for frame, _ in found)
            site = dict(found)[responsible(frames)]
            self._stacks[key] = stack_id(number for _, number in found), frames, site
        return self._stacks[key]

    def labels(self, sample: Any) -> tuple[str, str]:
        """The sample's endpoint and thread, empty when it has none."""
        found = {self.text(label.key): self.text(label.str) for label in sample.label if label.str}
        return found.get("endpoint", ""), next((found[n] for n in _THREAD_LABELS if n in found), "")

    def _location(self, number: int) -> list[tuple[Frame, int]]:
        if number not in self._frames:
            location = self._locations.get(number)
            if location is None:
                raise Malformed(f"a sample names location {number}, which is not in the profile")
            lines = [self._line(line.function_id, line.line) for line in location.line]
            self._frames[number] = lines or [_frame(Frame(f"{location.address:#x}", "?", 0))]
        return self._frames[number]

    def _line(self, function_id: int, line: int) -> tuple[Frame, int]:
        function = self._functions.get(function_id)
        if function is None:
            raise Malformed(f"a line names function {function_id}, which is not in the profile")
        if not 0 <= line < 1 << 32:
            raise Malformed(f"{line} is not a line number")
        return _frame(Frame(self.text(function.name) or "?", self.text(function.filename) or "?", line))


def _frame(frame: Frame) -> tuple[Frame, int]:
    return frame, int(site_id(frame), 16)
