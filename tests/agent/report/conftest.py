"""Profiles small enough to add up by hand, and one with names that would run in a careless page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from heapwatch.cli.parser import main
from heapwatch_wire import pprof
from heapwatch_wire.pprof import Profile, Sample
from heapwatch_wire.sites import Frame

MAIN = Frame("main", "/srv/shop/app.py", 10)
LOAD = Frame("load", "/srv/shop/app.py", 20)
QUERY = Frame("Session.query", "/opt/lib/python3.11/site-packages/orm/session.py", 7)
DECODE = Frame("decode", "/usr/lib/python3.11/json/decoder.py", 300)
MIB = 1 << 20

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror='window.hacked=1'>",
    "\"'&<b>]]>\x1b[31m\x00;a\nb",
)


@pytest.fixture
def profile() -> Profile:
    """6 MiB in use: 4 by Session.query, 1 by json's decoder for load, 1 by load itself (two threads)."""
    return Profile(
        samples=(
            Sample((QUERY, LOAD, MAIN), (60, 8 * MIB, 40, 4 * MIB), (("thread", "a"),)),
            Sample((DECODE, LOAD, MAIN), (30, 2 * MIB, 10, MIB)),
            Sample((LOAD, MAIN), (3, MIB // 2, 3, MIB // 2), (("thread", "a"),)),
            Sample((LOAD, MAIN), (3, MIB // 2, 3, MIB // 2), (("thread", "b"),)),
        ),
        period=65536,
        time_nanos=1_790_000_000 * 10**9,
        default_sample_type="inuse_space",
    )


@pytest.fixture
def grown(profile: Profile) -> Profile:
    """`profile` later: the decoder holds 3 MiB and 20 objects more, the query 1 MiB and 10 less."""
    samples = list(profile.samples)
    samples[0] = samples[0]._replace(values=(60, 8 * MIB, 30, 3 * MIB))
    samples[1] = samples[1]._replace(values=(90, 9 * MIB, 30, 4 * MIB))
    return Profile(samples=samples, period=65536)


@pytest.fixture
def hostile() -> Profile:
    """Function and file names that are markup, script, control characters."""
    samples = [Sample((Frame(name, name, 1), MAIN), (1, 100, 1, 100)) for name in HOSTILE]
    return Profile(samples=samples)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """save(profile, name) -> the file it is written to."""

    def write(profile: Profile, name: str = "heap.pb.gz") -> str:
        path = tmp_path / name
        path.write_bytes(pprof.encode(profile))
        return str(path)

    return write


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """call(*arguments) -> (exit code, what was printed, errors)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
