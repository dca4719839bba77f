"""Peaks of phases in this process, and by hand where the kernel doesn't let anybody reset its mark."""

from __future__ import annotations

import asyncio
import gc
import logging
import mmap
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import heapwatch
import pytest
from heapwatch.phases import MAX_NAMES, OTHER, Peaks, Phase, Phases, Span
from heapwatch.process import ProcessReader

MIB = 1 << 20


def resident(size: int) -> mmap.mmap:
    """`size` MiB of pages that are new: malloc would give out again what this process has freed."""
    block = mmap.mmap(-1, size * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(size):
        block.write(b"x" * MIB)
    return block


def spike(size: int) -> None:
    """Use `size` MiB and give them back."""
    resident(size).close()


def peak(span: Span) -> float:
    """MiB of a phase above what there was at its beginning."""
    assert span.report is not None
    assert span.report.exact
    return (span.report.peak - (span.report.rss - span.report.delta)) / MIB


@pytest.fixture
def phases() -> Iterator[Phases]:
    """In a process whose memory nobody else changes: a collection could free what other tests have left."""
    gc.disable()
    yield Phases()
    gc.enable()


def test_a_spike_is_seen_that_is_gone_at_the_end(phases: Phases) -> None:
    with Phase(phases, "parse") as parse:
        spike(200)
    assert peak(parse) == pytest.approx(200, abs=8)
    assert parse.report is not None
    assert abs(parse.report.delta) < 8 * MIB
    assert parse.report.process_peak >= parse.report.peak


def test_what_stays_is_the_delta(phases: Phases) -> None:
    with Phase(phases, "load") as load:
        kept = resident(64)
    assert load.report is not None
    assert load.report.delta / MIB == pytest.approx(64, abs=4)
    del kept


def test_each_phase_has_its_own_peak_and_the_outer_one_the_largest(phases: Phases) -> None:
    with Phase(phases, "import") as outer:
        with Phase(phases, "read") as first:
            spike(60)
        with Phase(phases, "parse") as second:
            spike(150)
        with Phase(phases, "write") as third:
            pass
    assert [round(peak(span), -1) for span in (first, second, outer)] == [60, 150, 150]
    assert peak(third) < 8
    assert [s.name for s in (outer, first, second)] == ["import", "import/read", "import/parse"]


def test_a_short_phase_inside_does_not_hide_the_peak_before_it(phases: Phases) -> None:
    with Phase(phases, "outer") as outer:
        spike(100)
        with Phase(phases, "inner"):
            pass
    assert peak(outer) == pytest.approx(100, abs=8)


def test_the_peak_of_the_process_outlives_a_reset(phases: Phases) -> None:
    spike(300)
    before = ProcessReader().status().peak
    with Phase(phases, "quiet") as quiet:
        pass
    assert peak(quiet) < 8
    assert ProcessReader().status().peak >= before


def test_overlapping_tasks_keep_their_names_and_peaks(phases: Phases) -> None:
    async def run() -> list[Span]:
        bigger, done = asyncio.Event(), asyncio.Event()

        async def long() -> Span:
            with Phase(phases, "long") as span:
                await bigger.wait()
                with Phase(phases, "inner"):
                    done.set()
                    await asyncio.sleep(0)
            return span

        async def short() -> Span:
            with Phase(phases, "short") as span:
                spike(120)
                bigger.set()
                await done.wait()
            return span

        return list(await asyncio.gather(long(), short()))

    long, short = asyncio.run(run())
    assert (long.name, short.name) == ("long", "short")
    assert "long/inner" in phases.runs()
    assert peak(short) == pytest.approx(120, abs=8)
    assert peak(long) == pytest.approx(120, abs=8)  # the spike is the process's, so both have it


def test_threads_have_their_own_chain(phases: Phases) -> None:
    def work(number: int) -> str:
        with Phase(phases, f"t{number}") as outer, Phase(phases, "step") as inner:
            pass
        return f"{outer.name} {inner.name}"

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(8))) == {f"t{n} t{n}/step" for n in range(8)}


def test_functions_and_coroutines_are_measured_when_they_run(phases: Phases) -> None:
    @Phase(phases, "plain")
    def plain(size: int) -> int:
        spike(size)
        return size

    @Phase(phases, "async")
    async def later(size: int) -> int:
        await asyncio.sleep(0)
        spike(size)
        return size

    assert plain(50) + plain(1) == 51
    assert asyncio.run(later(70)) == 70
    rss = ProcessReader().status().rss
    runs = phases.runs()
    assert sum(runs["plain"].counts) == 2
    assert (runs["plain"].highest - rss) / MIB == pytest.approx(50, abs=8)
    assert (runs["async"].highest - rss) / MIB == pytest.approx(70, abs=8)

    def numbers() -> object:
        yield 1

    with pytest.raises(TypeError, match="put `with"):
        Phase(phases, "generator")(numbers)


def test_an_exception_passes_and_the_phase_is_closed(phases: Phases) -> None:
    with pytest.raises(ZeroDivisionError), Phase(phases, "fails") as fails:
        _ = 1 / 0
    assert fails.report is not None
    with Phase(phases, "next") as after:
        pass
    assert after.name == "next"


def test_checkpoints_divide_a_phase(phases: Phases, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "heapwatch"), Phase(phases, "job"):
        spike(80)
        first = phases.checkpoint("read")
        kept = resident(40)
        second = phases.checkpoint("parsed")
    del kept
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("job/read", "job/parsed")
    assert (first.peak - first.rss) / MIB == pytest.approx(80, abs=8)
    assert second.delta / MIB == pytest.approx(40, abs=4)
    assert (second.peak - second.rss) / MIB < 8
    assert [record.message.split(":")[1].strip() for record in caplog.records] == [
        "checkpoint job/read",
        "checkpoint job/parsed",
        "phase job",
    ]


def test_checkpoints_outside_of_phases(phases: Phases) -> None:
    assert phases.checkpoint("begin") is not None
    spike(90)
    report = phases.checkpoint("end")
    assert report is not None
    assert report.exact
    assert (report.peak - report.rss) / MIB == pytest.approx(90, abs=8)


def test_names_are_bounded(phases: Phases) -> None:
    for number in range(MAX_NAMES + 5):
        with Phase(phases, f"p{number}"):
            pass
    runs = phases.runs()
    assert len(runs) == MAX_NAMES + 1
    assert sum(runs[OTHER].counts) == 5


def test_a_delivery_gets_the_largest_peak_since_the_one_before(phases: Phases) -> None:
    def run(size: int) -> None:
        with Phase(phases, "p"):
            spike(size)

    def delivered(reader: Peaks) -> float:
        _, peak = phases.deliver(reader)["p"]
        return (peak - ProcessReader().status().rss) / MIB

    one, other = phases.peaks(), phases.peaks()
    run(90), run(40)
    assert delivered(one) == pytest.approx(90, abs=8)
    assert delivered(one) == pytest.approx(90, abs=8)
    run(60)
    assert delivered(one) == pytest.approx(60, abs=8)
    assert delivered(other) == pytest.approx(90, abs=8), "each has its own time between deliveries"
    assert delivered(phases.peaks()) == pytest.approx(90, abs=8)


class Recorded:
    """A /proc that the test writes, where nobody may write to clear_refs."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "self" / "status"
        (folder / "self" / "clear_refs").mkdir(parents=True)
        self.phases = Phases(ProcessReader(folder))
        self.set(100, 500)

    def set(self, rss: int, peak: int) -> None:
        self.file.write_text(f"Name:\tx\nVmHWM:\t{peak} kB\nVmRSS:\t{rss} kB\n")


def test_where_the_mark_can_not_be_reset_a_report_says_so(tmp_path: Path) -> None:
    world = Recorded(tmp_path)
    with Phase(world.phases, "low") as low:
        world.set(300, 500)
        world.phases.checkpoint("middle")
        world.set(120, 500)
    assert low.report is not None
    assert (low.report.peak, low.report.exact, low.report.delta) == (300 * 1024, False, 20 * 1024)
    assert "at least" in str(low.report)
    with Phase(world.phases, "record") as record:
        world.set(120, 900)
    assert record.report is not None
    assert (record.report.peak, record.report.exact) == (900 * 1024, True)
    with Phase(world.phases, "after") as after:
        pass
    assert after.report is not None
    assert (after.report.peak, after.report.source) == (120 * 1024, "readings")


def levels(*marks: tuple[int, int]) -> Callable[[], tuple[float, float]]:
    """(live KiB, most of them since the last call), one after the other, as a sampler's."""
    told = iter(marks)

    def high_water() -> tuple[float, float]:
        live, highest = next(told)
        return live * 1024.0, highest * 1024.0

    return high_water


def test_where_the_mark_can_not_be_reset_the_sampler_knows_the_peak(tmp_path: Path) -> None:
    world = Recorded(tmp_path)
    world.phases.high_water = levels((40, 400), (40, 90), (40, 70), (40, 40))
    with Phase(world.phases, "outer") as outer, Phase(world.phases, "inner") as inner:
        pass
    assert outer.report is not None
    assert inner.report is not None
    assert (outer.report.source, inner.report.source) == ("sampler", "sampler")
    assert (outer.report.peak, inner.report.peak) == (150 * 1024, 130 * 1024)
    assert "peak about 0.1 MiB" in str(inner.report)


def test_pages_that_malloc_keeps_after_a_spike_or_had_kept_before_count_once(tmp_path: Path) -> None:
    world = Recorded(tmp_path)
    world.phases.high_water = levels((40, 40), (40, 90), (80, 90), (40, 600))
    with Phase(world.phases, "job") as job:
        world.set(150, 500)  # 50 more lived and died, and their pages stay
        kept = world.phases.checkpoint("kept")
        again = world.phases.checkpoint("again")  # 40 of them live again, in the same pages
    assert kept is not None
    assert again is not None
    assert (kept.peak, again.peak) == (150 * 1024, 160 * 1024)
    assert job.report is not None
    assert (job.report.peak, job.report.source) == (500 * 1024, "sampler"), "the kernel's mark is the bound"


@pytest.mark.parametrize("allowed", [True, False])
def test_kernel_and_sampler_agree_on_a_spike(tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "self" / "clear_refs").mkdir(parents=True)
    (tmp_path / "self" / "status").symlink_to("/proc/self/status")
    proc = Path("/proc") if allowed else tmp_path
    code = f"""
import mmap
from pathlib import Path
from heapwatch.phases import Phase, Phases
from heapwatch.process import ProcessReader
from heapwatch.sampler import open_sampler

sampler = open_sampler(4096, 16)
phases = Phases(ProcessReader(Path({str(proc)!r})))
phases.high_water = sampler.high_water
with mmap.mmap(-1, 200 << 20) as high:  # than which the phase is lower
    for _ in range(200):
        high.write(b"x" * (1 << 20))
with Phase(phases, "outer") as outer:
    with Phase(phases, "first") as first:
        [bytes(4000) for _ in range(15_000)]
    with Phase(phases, "second") as second:
        pass
for span in outer, first, second:
    report = span.report
    print(report.source, report.peak - (report.rss - report.delta))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = [line.split() for line in done.stdout.splitlines()]
    assert {source for source, _ in told} == {"kernel" if allowed else "sampler"}
    outer, first, second = (int(rise) / 1e6 for _, rise in told)
    assert (outer, first) == (pytest.approx(60, rel=0.1), pytest.approx(60, rel=0.1))
    assert second < 6


def test_a_process_that_can_not_be_read_is_no_error(tmp_path: Path) -> None:
    phases = Phases(ProcessReader(tmp_path))
    with Phase(phases, "blind") as blind:
        assert phases.checkpoint("nothing") is None
    assert blind.report is None
    assert phases.runs() == {}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_anew(phases: Phases) -> None:
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with phases._lock:
            taken.set()
            release.wait()

    holder = threading.Thread(target=hold)
    spike(100)
    with Phase(phases, "parent") as parent:
        holder.start()
        taken.wait()
        child = os.fork()
        if child == 0:
            with Phase(phases, "child") as span:
                spike(40)
            good = span.report is not None and list(phases.runs()) == ["parent/child"]
            os._exit(0 if good and 30 < peak(span) < 50 else 1)
        release.set()
        holder.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert parent.report is not None


def test_the_public_names_work_without_an_agent() -> None:
    with heapwatch.phase("public") as public:
        spike(40)
        heapwatch.checkpoint("done")
    assert peak(public) == pytest.approx(40, abs=8)


def test_the_example_shows_a_spike() -> None:
    example = Path(__file__).parents[3] / "docs/examples/transient_spike.py"
    done = subprocess.run(
        [sys.executable, str(example), "--size", "24"], capture_output=True, text=True, check=True
    )
    streamed, whole = (
        [int(n) for n in re.findall(r"(\d+) MiB", line)] for line in done.stdout.splitlines()[1:]
    )
    assert streamed[2] - streamed[0] <= 3
    assert whole[2] - whole[0] > 3 * 24
    assert whole[1] < whole[2] / 2
