"""Profiles in the pprof format (google/pprof, profile.proto): written and read with the standard library.

Valid for Go's pprof and for Pyroscope: entry 0 of the string table is "", ids start at 1, one line per
location, the leaf first. The same profile gives the same bytes (gzip without a time stamp).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from heapwatch_wire.protobuf import Value, WireError, Writer, read, read_integers, signed, submessage, varint
from heapwatch_wire.sites import UNKNOWN, Frame, Stack

MEMORY_SAMPLE_TYPES = (
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
)
MEMORY_PERIOD_TYPE = ("space", "bytes")
MAX_PROFILE_BYTES = 64 << 20


class Sample(NamedTuple):
    """One stack (innermost frame first), a value per sample type, and text labels as (key, value)."""

    stack: Stack
    values: tuple[int, ...]
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Profile:
    """A profile. Types are (type, unit); times in Unix nanoseconds; `period` in the unit of `period_type`."""

    samples: Sequence[Sample] = ()
    sample_types: tuple[tuple[str, str], ...] = MEMORY_SAMPLE_TYPES
    period_type: tuple[str, str] = MEMORY_PERIOD_TYPE
    period: int = 0
    time_nanos: int = 0
    duration_nanos: int = 0
    default_sample_type: str = ""
    comments: tuple[str, ...] = field(default=())


_Key = TypeVar("_Key")


class _Ids(dict[_Key, int]):
    """Numbers keys from `first` upwards in the order in which they are asked for."""

    def __init__(self, first: int) -> None:
        self._first = first

    def __missing__(self, key: _Key) -> int:
        self[key] = identifier = len(self) + self._first
        return identifier


class _Locations(dict[Frame, bytes]):
    """Encoded location ids by frame; a look-up by identity first, as hashing a frame is the dear part."""

    def __init__(self) -> None:
        self._by_identity: dict[int, bytes] = {}

    def __missing__(self, frame: Frame) -> bytes:
        self[frame] = identifier = varint(len(self) + 1)
        return identifier

    def encode(self, stack: Stack) -> bytes:
        """The packed location ids of `stack`, which must live as long as this object."""
        try:
            return b"".join(map(self._by_identity.__getitem__, map(id, stack)))
        except KeyError:
            self._by_identity.update((id(frame), self[frame]) for frame in stack)
            return self.encode(stack)


def encode(profile: Profile) -> bytes:
    """`profile` as gzipped pprof."""
    return gzip.compress(encode_message(profile), compresslevel=6, mtime=0)


def encode_message(profile: Profile) -> bytes:
    """`profile` as an uncompressed pprof message. ValueError if a sample lacks a value for a type."""
    strings: _Ids[str] = _Ids(0)
    locations, labels = _Locations(), _Labels(strings)
    functions: _Ids[tuple[str, str]] = _Ids(1)
    out = Writer()
    _ = strings[""]
    for kind in profile.sample_types:
        out.message(1, _value_type(strings, kind))
    for sample in profile.samples:
        if len(sample.values) != len(profile.sample_types):
            raise ValueError(f"{len(sample.values)} values for {len(profile.sample_types)} sample types")
        body = Writer().data(1, locations.encode(sample.stack)).integers(2, sample.values)
        out.message(2, body.raw(labels[sample.labels]))
    for location, frame in enumerate(locations, 1):
        function = functions[frame.function, frame.file]
        line = Writer().integer(1, function).integer(2, frame.line)
        out.message(4, Writer().integer(1, location).message(4, line))
    for (name, file), function in functions.items():
        # No system name: where that is the name too, Go's pprof takes it for C++ and cuts <module> away.
        out.message(5, Writer().integer(1, function).integer(2, strings[name]).integer(4, strings[file]))
    default = strings[profile.default_sample_type]
    comments = [strings[comment] for comment in profile.comments]
    period_type = _value_type(strings, profile.period_type)
    for string in strings:
        out.text(6, string, keep=True)
    out.integer(9, profile.time_nanos).integer(10, profile.duration_nanos)
    out.message(11, period_type).integer(12, profile.period).integers(13, comments).integer(14, default)
    return bytes(out)


def _value_type(strings: _Ids[str], kind: tuple[str, str]) -> Writer:
    return Writer().integer(1, strings[kind[0]]).integer(2, strings[kind[1]])


class _Labels(dict[tuple[tuple[str, str], ...], bytes]):
    """Encoded labels of a sample: few combinations, each of many samples."""

    def __init__(self, strings: _Ids[str]) -> None:
        self._strings = strings

    def __missing__(self, labels: tuple[tuple[str, str], ...]) -> bytes:
        out = Writer()
        for key, value in labels:
            out.message(3, Writer().integer(1, self._strings[key]).integer(2, self._strings[value]))
        self[labels] = encoded = bytes(out)
        return encoded


def decode(data: bytes, limit: int = MAX_PROFILE_BYTES) -> Profile:
    """A profile from pprof bytes, gzipped or not, at most `limit` bytes long when unpacked.

    Inlined calls become frames of their own; numeric labels and mappings are left out.
    Raises WireError, saying what is wrong, for anything that is not a whole and consistent profile.
    """
    if data[:2] == b"\x1f\x8b":
        data = gunzip(data, limit)
    if len(data) > limit:
        raise WireError(f"the profile is longer than {limit} bytes")
    return _Decoder(data).profile()


def gunzip(data: bytes, limit: int) -> bytes:
    """One gzip stream unpacked, stopping at `limit` bytes; WireError for a longer, broken or cut-off one."""
    stream = zlib.decompressobj(wbits=31)
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise WireError(f"not gzip: {error}") from None
    if len(unpacked) > limit:
        raise WireError(f"longer than {limit} bytes when unpacked")
    if not stream.eof:
        raise WireError("the gzip stream breaks off")
    if stream.unused_data:
        raise WireError("there are bytes after the end of the gzip stream")
    return unpacked


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[Value]] = {}
        for number, value in read(data):
            self._fields.setdefault(number, []).append(value)
        self._strings = [submessage(s).decode("utf-8", "replace") for s in self._fields.get(6, [])]
        if self._strings[:1] != [""]:
            raise WireError("the string table doesn't start with an empty string")
        self._functions = dict(self._function(message) for message in self._messages(5))
        self._locations = dict(self._location(message) for message in self._messages(4))

    def profile(self) -> Profile:
        sample_types = tuple(self._value_type(message) for message in self._messages(1))
        samples = [self._sample(message, len(sample_types)) for message in self._messages(2)]
        period_types = [self._value_type(message) for message in self._messages(11)]
        return Profile(
            samples=samples,
            sample_types=sample_types,
            period_type=period_types[-1] if period_types else ("", ""),
            period=self._number(12),
            time_nanos=self._number(9),
            duration_nanos=self._number(10),
            default_sample_type=self._string(self._number(14)),
            comments=tuple(self._string(i) for v in self._fields.get(13, []) for i in read_integers(v)),
        )

    def _messages(self, number: int) -> Iterable[bytes]:
        return map(submessage, self._fields.get(number, []))

    def _number(self, number: int) -> int:
        return signed(self._fields.get(number, [0])[-1])

    def _string(self, index: int) -> str:
        if not 0 <= index < len(self._strings):
            raise WireError(f"string {index} of {len(self._strings)}")
        return self._strings[index]

    def _value_type(self, message: bytes) -> tuple[str, str]:
        numbers = _numbers(message)
        return self._string(numbers.get(1, 0)), self._string(numbers.get(2, 0))

    def _function(self, message: bytes) -> tuple[int, tuple[str, str]]:
        numbers = _numbers(message)
        name = self._string(numbers.get(2, 0)) or self._string(numbers.get(3, 0))
        return numbers.get(1, 0), (name, self._string(numbers.get(4, 0)))

    def _location(self, message: bytes) -> tuple[int, Stack]:
        identifier, frames = 0, []
        for number, value in read(message):
            if number == 1:
                identifier = signed(value)
            elif number == 4:
                line = _numbers(submessage(value))
                if line.get(1, 0) not in self._functions:
                    raise WireError(f"location {identifier} names an unknown function")
                frames.append(Frame(*self._functions[line.get(1, 0)], line.get(2, 0)))
        return identifier, tuple(frames) or (UNKNOWN,)

    def _sample(self, message: bytes, types: int) -> Sample:
        ids: list[int] = []
        values: list[int] = []
        labels = []
        for number, value in read(message):
            if number == 1:
                ids += read_integers(value)
            elif number == 2:
                values += read_integers(value)
            elif number == 3:
                label = _numbers(submessage(value))
                if label.get(2, 0):
                    labels.append((self._string(label.get(1, 0)), self._string(label[2])))
        if len(values) != types:
            raise WireError(f"a sample has {len(values)} values for {types} sample types")
        try:
            stack = tuple(frame for identifier in ids for frame in self._locations[identifier])
        except KeyError as error:
            raise WireError(f"a sample names an unknown location {error}") from None
        return Sample(stack, tuple(values), tuple(labels))


def _numbers(message: bytes) -> dict[int, int]:
    """The varint fields of a message of numbers; the last of a field counts."""
    return {number: signed(value) for number, value in read(message) if isinstance(value, int)}
