"""Forked children, other interpreters' ways of starting processes, and the end of the interpreter."""

from __future__ import annotations

import pytest


def test_a_child_keeps_what_it_inherited_and_counts_its_own(sampled) -> None:
    result = sampled("""
        sampler.start(256, 16, seed=9)
        def before():
            return native.hold(OBJ, 200, 10_000)
        def after():
            return native.hold(OBJ, 200, 5_000)
        handle = before()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            own = after()
            stats = sampler.stats()
            seen = [live("before")[0], allocated("before")[0], live("after")[0], stats["pre_fork_samples"]]
            native.drop(handle)
            del handle
            seen += [live("before")[0], sampler.stats()["pre_fork_samples"], stats["hooks_intact"]]
            os.write(writer, json.dumps(seen).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        result = json.loads(os.read(reader, 10_000)), live("before")[0], sampler.stats()["pre_fork_samples"]
    """)
    child, parent_live, parent_inherited = result
    live_before, allocated_before, live_after, inherited, freed, inherited_left, intact = child
    assert live_before == pytest.approx(10_000, rel=0.1)
    assert allocated_before == 0
    assert live_after == pytest.approx(5_000, rel=0.15)
    assert inherited > 1000
    assert freed == 0
    assert inherited_left < inherited / 2
    assert intact == 1
    assert parent_live == pytest.approx(10_000, rel=0.1)
    assert parent_inherited == 0


def test_children_of_one_parent_sample_different_blocks(sampled) -> None:
    first, second = sampled("""
        sampler.start(4096, 16, seed=9)
        def child():
            reader, writer = os.pipe()
            if os.fork() == 0:
                handles, counts = [], []
                for _ in range(20):
                    handles.append(native.hold(OBJ, 100, 1000))
                    counts.append(sampler.stats()["samples"])
                os.write(writer, json.dumps(counts).encode())
                os._exit(0)
            os.wait()
            return json.loads(os.read(reader, 1000))
        result = child(), child()
    """)
    assert first != second


@pytest.mark.filterwarnings("ignore")
def test_multiprocessing_and_subprocess_work_under_sampling(sampled) -> None:
    result = sampled(
        """
        import multiprocessing, subprocess
        sampler.start(1, 32)
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            squares = pool.map(abs, range(-50, 50))
        said = subprocess.run([sys.executable, "-c", "print('hello')"], capture_output=True, text=True).stdout
        result = sum(squares), said.strip(), sampler.stats()["hooks_intact"]
        """,
        options=["-W", "ignore"],
    )
    assert result == [sum(map(abs, range(-50, 50))), "hello", 1]


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "os._exit(0)",
        "import atexit; atexit.register(lambda: [str(i) for i in range(10_000)])",
        "sampler.stop()",
    ],
)
def test_the_interpreter_ends_well_with_threads_running(sampled, ending) -> None:
    """Daemon threads allocate until the process is gone; garbage with finalizers is left for the end."""
    assert sampled(
        """
        sampler.start(64, 64)
        class Late:
            def __del__(self):
                self.kept = [str(i) for i in range(1000)]
        late = [Late() for _ in range(100)]
        late.append(late)
        def churn():
            while True:
                [str(i) * 20 for i in range(1000)]
        for _ in range(4):
            threading.Thread(target=churn, daemon=True).start()
        result = len(sampler.export()) > 0
        """,
        ending=ending,
    )


def test_other_interpreters_are_refused_or_pass_unsampled(sampled) -> None:
    """Code of a subinterpreter runs unharmed; the main interpreter's figures stay its own."""
    result = sampled("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        sampler.start(64, 32)
        other = interpreters.create()
        interpreters.run_string(other, "kept = [str(i) * 50 for i in range(5000)]\\n" "def inner():\\n"
                                       "    return [bytearray(100) for _ in range(500)]\\n" "more = inner()")
        names = {row[1][0][0] for row in sampler.export()}
        interpreters.destroy(other)
        kept = [str(i) for i in range(1000)]
        result = "inner" in names, sampler.stats()["hooks_intact"]
    """)
    assert result == [False, 1]
