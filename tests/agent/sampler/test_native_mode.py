"""Native mode: what any code asks of the C allocator, each block once, named by who asked."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
from heapwatch import preload

SIZES = (1, 100, 488, 512, 513, 2000, 70_000)


@pytest.fixture
def native_sampled(sampled, preloaded):
    """`sampled` with the library preloaded."""

    def run(code, *, env=None, **kwargs):
        return sampled(code, env={**preloaded, **(env or {})}, **kwargs)

    return run


def test_without_the_library_there_is_no_native_mode(sampled) -> None:
    assert sampled("sampler.start(64, 16); result = sampler.stats()['native']", env={"LD_PRELOAD": ""}) == 0


def test_nothing_is_sampled_before_the_start_and_after_the_end(native_sampled) -> None:
    result = native_sampled("""
        def before():
            return native.hold(C, 1000, 100)
        def after():
            return native.hold(C, 1000, 100)
        handle = before()
        sampler.start(1, 16)
        sampler.stop()
        later = after()
        native.drop(handle)
        result = sampler.stats()["native"], live("before"), live("after")
    """)
    assert result == [1, [0, 0], [0, 0]]


@pytest.mark.parametrize("allocator", ["default", "pymalloc_debug", "malloc", "malloc_debug"])
@pytest.mark.parametrize("domain", ["RAW", "MEM", "OBJ", "C"])
def test_each_block_is_counted_once_whoever_serves_it(native_sampled, domain, allocator) -> None:
    """At an interval of one byte nearly every block is a sample, so figures can be held against the truth."""
    env = {} if allocator == "default" else {"PYTHONMALLOC": allocator}
    result = native_sampled(
        f"""
        sampler.start(1, 16)
        def made(size):
            return native.hold({domain}, size, 200)
        def zeroed(size):
            return [native.allocate_zeroed({domain}, 1, size) for _ in range(200)]
        def resized(size, first):
            return [native.reallocate({domain}, native.allocate({domain}, first), size) for _ in range(200)]
        result = []
        for size in {SIZES}:
            handle = made(size)
            result.append((size, *live("made")))
            native.drop(handle)
            assert live("made")[0] <= 2, live("made")
        """,
        env=env,
    )
    padding = 0 if allocator in ("default", "malloc") else 64  # debug hooks ask for their marks as well
    for size, objects, size_bytes in result:
        missed = math.exp(-size)
        error = math.sqrt(200 * missed / (1 - missed))
        assert objects == pytest.approx(201 if size > 4 else 200, abs=4 + 5 * error)
        if size > 4:
            assert 200 * size * 0.98 <= size_bytes <= 200 * (size + padding) * 1.02 + 2000


def test_objects_of_python_are_counted_once(native_sampled, many_objects) -> None:
    counted, truth = native_sampled(many_objects)
    assert counted == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("allocator", sorted(preload.PACKAGES))
def test_they_are_counted_once_in_front_of_another_allocator(
    sampled, preloaded, many_objects, allocator
) -> None:
    both = preload.preload(preloaded["LD_PRELOAD"], preload.allocator(allocator), present="")
    counted, truth = sampled(many_objects, env={"LD_PRELOAD": both})
    assert counted == pytest.approx(truth, rel=0.01)


def test_reallocs_across_the_border_of_pymalloc_are_counted_once(native_sampled) -> None:
    result = native_sampled("""
        sampler.start(1, 16)
        result = []
        def resized(domain, path):
            blocks = []
            for _ in range(300):
                address = native.allocate(domain, path[0])
                for size in path[1:]:
                    address = native.reallocate(domain, address, size)
                blocks.append(address)
            return blocks
        for domain in (RAW, MEM, OBJ, C):
            for path in ((5000, 100), (100, 5000), (513, 512, 511), (100, 600, 200, 700, 64), (64, 65, 66)):
                blocks = resized(domain, path)
                counted = live("resized")[1] - sum(map(sys.getsizeof, blocks)) - sys.getsizeof(blocks)
                result.append((domain, path, counted / 300))
                for block in blocks:
                    native.release(domain, block)
                del blocks
    """)
    for _, path, size in result:
        assert size == pytest.approx(path[-1], abs=4), result


def test_estimates_of_the_c_allocator_are_unbiased(native_sampled) -> None:
    """Many short runs at a coarse interval, from threads with and without Python."""
    result = native_sampled("""
        def mixed(size, count):
            return native.hold(C, size, count), native.hold_without_gil(size, count)
        result = []
        for size, count, interval in ((48, 20_000, 4096), (1000, 2000, 16_384), (40_000, 100, 65_536)):
            sampler.start(interval, 16)
            total, runs = 0.0, 60
            for _ in range(runs):
                before = sampler.stats()["allocated_bytes"]
                for handle in (*mixed(size, count), native.hold_in_thread(size, count)):
                    native.drop(handle)
                total += sampler.stats()["allocated_bytes"] - before
            truth = 3 * (size * count + 8 * (count + 2)) * runs  # with the handles' own arrays
            result.append((total / truth, interval / truth))
    """)
    for ratio, variance in result:
        assert ratio == pytest.approx(1, abs=5 * variance**0.5 + 0.005)


def test_who_asked_is_named_above_the_python_stack(native_sampled) -> None:
    frames = native_sampled("""
        sampler.start(1, 16)
        def caller():
            return native.allocate(C, 3000)
        address = caller()
        result = [row[1] for row in rows("caller") if row[6] > 2900]
    """)
    assert [frame[0] for frame in frames[0]] == ["[native]", "caller", "<module>"]
    assert frames[0][0][1].endswith("/native.so")
    assert frames[0][0][2] == 0


def test_functions_that_a_library_exports_are_named(native_sampled, exporting) -> None:
    frames = native_sampled(f"""
        import ctypes
        library, libc = ctypes.PyDLL({str(exporting)!r}), ctypes.PyDLL(None)
        for function in (library.exported, library.by_another, libc.strdup):
            function.restype = ctypes.c_void_p
        sampler.start(1, 16)
        kept = library.exported(50_001), library.by_another(60_001), libc.strdup(b"x" * 70_000)
        found = {{row[6]: row[1][0] for row in sampler.export() if not row[1][0][2]}}
        result = [found[size] for size in (50_001, 60_001, 70_001)]
    """)
    assert frames[:2] == [["exported", str(exporting), 0], ["[native]", str(exporting), 0]]
    assert frames[2][0].strip("_") == "strdup"
    assert "/libc.so" in frames[2][1]


@pytest.mark.parametrize("hold", ["hold_in_thread", "hold_without_gil"])
def test_memory_asked_for_without_the_gil_is_named_by_its_library(native_sampled, hold) -> None:
    before, after, freed = native_sampled(f"""
        sampler.start(512, 16)
        def by_library():
            return sum(row[6] for row in sampler.export()
                       if len(row[1]) == 1 and row[1][0][1].endswith("/native.so"))
        before = by_library()
        handle = native.{hold}(500, 4000)
        after = by_library()
        native.drop_in_thread(handle)
        result = before, after, by_library()
    """)
    assert before == 0
    assert after == pytest.approx(2_000_000, rel=0.1)
    assert freed == 0


def test_memory_may_be_freed_by_another_thread(native_sampled) -> None:
    held, freed = native_sampled("""
        sampler.start(64, 16)
        def made():
            return native.hold(C, 300, 2000)
        handle = made()
        held = live("made")[0]
        native.drop_in_thread(handle)
        result = held, live("made")[0]
    """)
    assert held == pytest.approx(2001, rel=0.05)
    assert freed < 20


@pytest.mark.parametrize("interval", [1, 1 << 20])
def test_the_corners_of_the_c_standard_stay_as_they_are(native_sampled, interval) -> None:
    assert native_sampled(f"sampler.start({interval}, 16); result = native.check_corners()") == ""


def test_the_corners_stay_as_they_are_before_the_sampler_starts(native_sampled) -> None:
    assert native_sampled("result = native.check_corners()") == ""


@pytest.mark.parametrize(
    "function", ["posix_memalign", "aligned_alloc", "memalign", "valloc", "pvalloc", "reallocarray"]
)
def test_the_other_functions_of_the_allocator_are_seen(native_sampled, function) -> None:
    held, freed, aligned = native_sampled(f"""
        sampler.start(1, 16)
        def made():
            return native.allocate_aligned({function!r}, 256, 8192)
        address = made()
        held = live("made")
        native.release(C, address)
        result = held, live("made")[1], address % 256
    """)
    assert held[1] == pytest.approx(8192 * (256 if function == "reallocarray" else 1), rel=0.02)
    assert freed < 100
    if function != "reallocarray":
        assert aligned == 0


def test_big_mappings_are_seen_moved_and_ended(native_sampled) -> None:
    result = native_sampled("""
        sampler.start(1000, 16)
        def mapped():
            return native.map(8 << 20)
        def small():
            return native.map(4096)
        def moved(address):
            return native.move(address, 8 << 20, 32 << 20)
        address = mapped()
        small()
        first = live("mapped")[1], live("small")[1]
        address = moved(address)
        second = live("mapped")[1], live("moved")[1]
        native.unmap(address, 32 << 20)
        result = first, second, live("moved")[1]
    """)
    (mapped, small), (left, moved), ended = result
    assert mapped == pytest.approx(8 << 20, rel=0.001)
    assert small < 2000
    assert left < 2000
    assert moved == pytest.approx(32 << 20, rel=0.001)
    assert ended < 2000


def test_arenas_and_thread_stacks_are_no_mappings_of_the_program(native_sampled) -> None:
    counted, truth = native_sampled("""
        sampler.start(64, 16)
        def small_objects():
            return [object() for _ in range(400_000)]
        ready, end = threading.Barrier(9), threading.Event()
        for _ in range(8):
            threading.Thread(target=lambda: (ready.wait(), end.wait())).start()
        ready.wait()
        kept = small_objects()
        result = sampler.stats()["live_bytes"], 400_000 * 16 + sys.getsizeof(kept)
        end.set()
    """)
    assert truth * 0.95 < counted < truth * 1.3 + 2_000_000


def test_numpy_buffers_are_seen(native_sampled) -> None:
    pytest.importorskip("numpy")
    result = native_sampled("""
        import numpy
        sampler.start(16384, 16)
        def array():
            return numpy.ones(4_000_000)
        kept = array()
        def below():
            return [row for row in sampler.export() if "array" in python_frames(row)]
        held = sum(row[6] for row in below())
        modules = {row[1][0][1].split("/")[-1].split(".")[0] for row in below()}
        del kept
        result = held, sorted(modules), sum(row[6] for row in below())
    """)
    assert result[0] == pytest.approx(32_000_000, rel=0.01)
    assert "_multiarray_umath" in result[1]
    assert result[2] < 100_000


def test_libraries_of_the_standard_library_work_and_are_seen(native_sampled) -> None:
    seen = native_sampled("""
        import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib
        sampler.start(64, 24)
        libc = ctypes.PyDLL(None)  # CDLL would let go of the GIL
        libc.malloc.restype = ctypes.c_void_p
        def foreign():
            return libc.malloc(ctypes.c_size_t(123_456))
        def packed():
            objects = [zlib.compressobj() for _ in range(5)]
            data = os.urandom(100_000)
            for module in (bz2, lzma, zlib):
                assert module.decompress(module.compress(data)) == data
            return objects
        def database():
            connection = sqlite3.connect(":memory:")
            connection.execute("create table t (x)")
            connection.executemany("insert into t values (?)", [("y" * 1000,)] * 2000)
            return connection
        def context():
            return ssl.create_default_context()
        kept = foreign(), packed(), database(), context()
        result = {name: sum(row[6] for row in sampler.export() if name in python_frames(row))
                  for name in ("foreign", "packed")}
        for library in ("sqlite", "crypto"):  # these let go of the GIL
            result[library] = sum(row[6] for row in sampler.export() if library in row[1][0][1])
    """)
    assert seen["foreign"] == pytest.approx(123_456, rel=0.02)
    assert seen["packed"] > 5 * 200_000
    assert seen["sqlite"] > 2_000_000
    assert seen["crypto"] > 10_000


def test_objects_are_found_behind_blocks_of_the_c_allocator(native_sampled) -> None:
    assert native_sampled("""
        sampler.start(100, 16)
        def large():
            return [bytearray(5000), list(range(5000)), "x" * 10_000]
        kept = large()
        stacks = {row[0] for row in rows("large")}
        found = [item for stack in stacks for item in objects_of(stack, 4000, 5.0)]
        result = all(any(item is found_item for found_item in found) for item in kept)
    """)


def test_samples_of_one_stack_are_told_apart_by_caller(native_sampled) -> None:
    addresses, samples = native_sampled("""
        sampler.start(1, 16)
        def both():
            return native.allocate(C, 3000), native.allocate_zeroed(C, 1, 4000)
        addresses = both()
        found = [row for row in rows("both") if row[1][0][0] == "[native]" and row[6]]
        samples = [sampler.live_samples(row[0], 10) for row in found]
        result = addresses, samples
    """)
    assert sorted(sample[0] for found in samples for sample in found) == sorted(addresses)
    assert [len(found) for found in samples] == [1, 1]


def test_a_forked_child_goes_on_by_itself(native_sampled) -> None:
    result = native_sampled("""
        sampler.start(256, 16)
        def before():
            return native.hold(C, 600, 3000)
        def after():
            return native.hold(C, 600, 2000)
        handle = before()
        reader, writer = os.pipe()
        if os.fork() == 0:
            own = after()
            seen = [live("before")[0], allocated("before")[0], live("after")[0]]
            native.drop(handle)
            native.c_storm(2, 10_000)
            seen += [live("before")[0], sampler.stats()["hooks_intact"]]
            os.write(writer, json.dumps(seen).encode())
            os._exit(0)
        assert os.wait()[1] == 0
        result = json.loads(os.read(reader, 10_000))
    """)
    assert result[0] == pytest.approx(3000, rel=0.1)
    assert result[1] == 0
    assert result[2] == pytest.approx(2000, rel=0.1)
    # What `before` left behind is at most the handle's own few objects, which may be sampled too.
    assert result[3] < 40
    assert result[4] == 1


@pytest.mark.filterwarnings("ignore")
def test_children_under_storms_of_threads_without_python(native_sampled) -> None:
    """Forks while other threads are inside the allocator and our hooks."""
    result = native_sampled(
        """
        import subprocess
        sampler.start(16, 16)
        storms = [threading.Thread(target=native.c_storm, args=(2, 400_000)) for _ in range(2)]
        for thread in storms:
            thread.start()
        codes = []
        for i in range(30):
            pid = os.fork()
            if pid == 0:
                [str(i) * 100 for i in range(1000)]
                native.release(C, native.allocate(C, 5000))
                os._exit(0 if sampler.stats()["hooks_intact"] else 1)
            codes.append(os.waitpid(pid, 0)[1])
        said = subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout
        for thread in storms:
            thread.join()
        result = codes, said.strip(), sampler.stats()["dropped_displaced"]
        """,
        options=["-W", "ignore"],
    )
    assert result == [[0] * 30, "hello", 0]


def test_a_fork_never_waits_forever_for_a_library_that_allocates_under_its_lock(native_sampled) -> None:
    codes = native_sampled("""
        native.start_library()  # its fork handler runs after the sampler's
        sampler.start(1, 16)
        codes = []
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])
        native.stop_library()
        result = codes
    """)
    assert codes == [0] * 5


EMBEDDING = """
#include <stdlib.h>
int Py_BytesMain(int, char **);
void *(*volatile taken)(size_t) = malloc; /* such an executable has an address of its own for it */
int main(int count, char **arguments) { return Py_BytesMain(count, arguments); }
"""


@pytest.mark.skipif(not sysconfig.get_config_var("Py_ENABLE_SHARED"), reason="this Python has no library")
def test_an_executable_that_is_not_position_independent(preloaded, tmp_path) -> None:
    """Debian's python3 is one: there the address of malloc lies inside the executable."""
    source, program = tmp_path / "python.c", tmp_path / "python"
    source.write_text(EMBEDDING)
    library = sysconfig.get_config_var("LIBDIR")
    flags = ["-no-pie", "-fno-pic", f"-L{library}", f"-Wl,-rpath,{library}"]
    name = f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    subprocess.run(["cc", str(source), *flags, name, "-o", str(program)], check=True)
    code = """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("_sampler", sys.argv[1])
        sampler = importlib.util.module_from_spec(spec)
        sampler.start(65536, 16)
        print(sampler.stats()["native"])
    """
    sampler = next(Path(preloaded["LD_PRELOAD"]).parent.glob("_sampler*.so"))
    command = [str(program), "-c", textwrap.dedent(code), str(sampler)]
    env = {**os.environ, **preloaded, "PYTHONHOME": sys.base_prefix}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"


def test_a_library_in_front_of_ours_leaves_native_mode_off(sampled, preloaded, tmp_path) -> None:
    source, other = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text(
        "void *__libc_malloc(unsigned long); void *malloc(unsigned long n) {return __libc_malloc(n);}"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(other), str(source)], check=True)
    code = "sampler.start(64, 16); kept = [str(i) for i in range(1000)]; result = sampler.stats()['native']"
    assert sampled(code, env={"LD_PRELOAD": f"{other}:{preloaded['LD_PRELOAD']}"}) == 0
    assert sampled(code, env={"LD_PRELOAD": f"{preloaded['LD_PRELOAD']}:{other}"}) == 1


def test_what_an_allocator_behind_ours_maps_is_not_counted_again(sampled, preloaded, tmp_path) -> None:
    source, other = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text("""
        #include <sys/mman.h>
        void *__libc_malloc(unsigned long);
        void *malloc(unsigned long size) {
            if (size >= 1 << 20)
                mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return __libc_malloc(size);
        }
    """)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(other), str(source)], check=True)
    code = """
        sampler.start(1000, 16)
        def made():
            return native.allocate(C, 8 << 20)
        address = made()
        result = live("made")[1]
    """
    held = sampled(code, env={"LD_PRELOAD": f"{preloaded['LD_PRELOAD']}:{other}"})
    assert held == pytest.approx(8 << 20, rel=0.001)


def test_many_modules_of_the_standard_library_load_under_it(native_sampled) -> None:
    imported, intact = native_sampled(
        """
        import importlib
        sampler.start(1, 8)
        imported = 0
        for name in sorted(sys.stdlib_module_names):
            if name.startswith("_") or name in {"antigravity", "this", "idlelib", "turtle", "turtledemo"}:
                continue
            try:
                importlib.import_module(name)
                imported += 1
            except ImportError:
                pass
        result = imported, sampler.stats()["hooks_intact"]
        """,
        options=["-W", "ignore"],
    )
    assert imported > 150
    assert intact == 1


def test_programs_that_are_no_python_run_under_it(preloaded) -> None:
    done = subprocess.run(
        ["sh", "-c", "ls / | sort -r | head -3 | wc -l"],
        env={**os.environ, **preloaded},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
