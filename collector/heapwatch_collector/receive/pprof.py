"""pprof profiles into sample rows.

A sample's stack is stored once, under a hash of its frames; the row carries that hash, the hash of the
frame that is responsible for it (its site) and the labels `endpoint` and `thread`.
"""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError
from heapwatch_wire.proto import Profile, Sample
from heapwatch_wire.sites import UNKNOWN, Frame, Stack, responsible, site_id

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
    """A profile's tables, read once; what points nowhere is refused."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._strings = [text[:MAX_TEXT] for text in profile.string_table]
        self._frames = self._read_locations()
        self._stacks: dict[tuple[int, ...], tuple[int, Stack, int]] = {}

    def text(self, index: int) -> str:
        if not 0 <= index < len(self._strings):
            raise Malformed(f"the string table has no entry {index}")
        return self._strings[index]

    def type_ids(self, name: str) -> list[str]:
        """`name:sample_type:sample_unit:period_type:period_unit` of each value of a sample."""
        types, period = self._profile.sample_type, self._profile.period_type
        if not 0 < len(types) <= MAX_SAMPLE_TYPES:
            raise Malformed(f"{len(types)} sample types; 1 to {MAX_SAMPLE_TYPES} are accepted")
        parts = [[name, *(self.text(i) for i in (t.type, t.unit, period.type, period.unit))] for t in types]
        return [":".join(part.replace(":", "_") for part in found) for found in parts]

    def stack(self, location_ids: Iterable[int]) -> tuple[int, Stack, int]:
        """(hash, frames innermost first, hash of the responsible frame)."""
        key = tuple(location_ids)
        found = self._stacks.get(key)
        if found is None:
            found = self._stacks[key] = self._read_stack(key)
        return found

    def labels(self, sample: Sample) -> tuple[str, str]:
        """The sample's endpoint and thread, empty when it has none."""
        found = {self.text(label.key): self.text(label.str) for label in sample.label if label.str}
        return found.get("endpoint", ""), next((found[n] for n in _THREAD_LABELS if n in found), "")

    def _read_stack(self, location_ids: tuple[int, ...]) -> tuple[int, Stack, int]:
        try:
            found = [pair for number in location_ids for pair in self._frames[number]] or [
                _identified(UNKNOWN)
            ]
        except KeyError as error:
            raise Malformed(f"a sample names location {error}, which is not in the profile") from None
        found = found or [_identified(UNKNOWN)]
        number = stack_id([identity for _, identity in found])
        frames = tuple([frame for frame, _ in found])
        return number, frames, _site_of(number, frames)

    def _read_locations(self) -> dict[int, list[tuple[Frame, int]]]:
        functions = {
            f.id: (self.text(f.name) or "?", self.text(f.filename) or "?") for f in self._profile.function
        }
        frames: dict[int, list[tuple[Frame, int]]] = {}
        for location in self._profile.location:
            found = frames[location.id] = []
            for line in location.line:
                function = functions.get(line.function_id)
                if function is None:
                    raise Malformed(f"a line names function {line.function_id}, which is not in the profile")
                if not 0 <= line.line < 1 << 32:
                    raise Malformed(f"{line.line} is not a line number")
                found.append(_identified(Frame(*function, line.line)))
            if not found:
                found.append(_identified(Frame(f"{location.address:#x}", "?", 0)))
        return frames


# A process sends the same frames and stacks again and again: most of them are found here.
@lru_cache(1 << 16)
def _identified(frame: Frame) -> tuple[Frame, int]:
    return frame, int(site_id(frame), 16)


_KNOWN_SITES = 1 << 16
_sites: dict[int, int] = {}


def _site_of(stack: int, frames: Stack) -> int:
    """The hash of the frame that is responsible for `stack`."""
    site = _sites.get(stack)
    if site is None:
        if len(_sites) >= _KNOWN_SITES:
            _sites.clear()
        site = _sites[stack] = _identified(responsible(frames))[1]
    return site
