"""Profiles read and reports written, with failures as people need to hear them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from heapwatch_wire import pprof
from heapwatch_wire.protobuf import WireError

from heapwatch.cli.options import Failure


def read_profile(file: str) -> pprof.Profile:
    """The profile in `file`, frames without a name called "?"; Failure for anything that is no profile."""
    try:
        with Path(file).open("rb") as source:
            data = source.read(pprof.MAX_PROFILE_BYTES + 1)
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}") from None
    return decode(data, file)


def decode(data: bytes, name: str) -> pprof.Profile:
    """The profile in `data`; `name` says in a Failure where it comes from."""
    try:
        profile = pprof.decode(data)
    except WireError as error:
        mend = "heapwatch snapshot, Go and Pyroscope write what is wanted: pprof, gzipped or not"
        raise Failure(f"{name} is no pprof profile: {error}", mend) from None
    if not profile.sample_types:
        raise Failure(f"{name} has no sample types, so there is nothing to show")
    return replace(profile, samples=[_named(sample) for sample in profile.samples])


def write_file(file: str, content: str | bytes) -> int:
    """Write `file`; how many bytes."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise Failure(f"{file} can't be written: {error.strerror}", "name another file with -o") from None
    return len(data)


def _named(sample: pprof.Sample) -> pprof.Sample:
    if all(frame.function for frame in sample.stack):
        return sample
    stack = (frame if frame.function else frame._replace(function="?") for frame in sample.stack)
    return sample._replace(stack=tuple(stack))
