"""The agent's account of its own modules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from heapwatch.loading import DENSITY, Loading

MIB = 1 << 20
MEASURED = """
import json, sys
sys.path.insert(0, {folder!r})
def private():
    text = open("/proc/self/smaps_rollup").read()
    return 1024 * int(text.partition("Private_Dirty:")[2].split()[0])
begin = private()
{program}
end = private()
said = 0
if "heapwatch" in sys.modules:
    status = heapwatch.status()
    said = status["memory"] + status["sampler"]["own_bytes"] + status["sampler"]["padding_bytes"]
print(json.dumps([end - begin, said]))
"""
SERVICE = """
import base64, contextlib, contextvars, ctypes, dataclasses, decimal, fractions, inspect, ipaddress, json
import logging, pathlib, random, signal, statistics, string, struct, textwrap, threading, typing, weakref
import urllib.parse, importlib.util
"""
START = "import heapwatch; heapwatch.start('shop', collector='http://127.0.0.1:9')"


@pytest.fixture
def measured(tmp_path: Path) -> Callable[[str], tuple[int, int]]:
    """Private bytes that a program takes in a process of its own, and those that the agent says it took."""
    (tmp_path / "shop.py").write_text(SERVICE)

    def run(program: str) -> tuple[int, int]:
        code = MEASURED.format(folder=str(tmp_path), program=program)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        taken, said = json.loads(done.stdout)
        return taken, said

    return run


def test_what_the_agent_says_of_itself_is_what_it_takes(measured: Callable[[str], tuple[int, int]]) -> None:
    taken, said = measured(START)
    assert said == pytest.approx(taken, rel=0.25)


@pytest.mark.parametrize("order", [f"{START}; import shop", f"import shop; {START}"])
def test_what_the_service_would_have_loaded_is_not_the_agents(
    measured: Callable[[str], tuple[int, int]], order: str
) -> None:
    service, _ = measured("import shop")
    taken, said = measured(order)
    assert said == pytest.approx(taken - service, rel=0.35)


def module(folder: Path, name: str, bytes_of_source: int = 0, **names: object) -> ModuleType:
    made = ModuleType(name)
    if bytes_of_source:
        made.__file__ = str(folder / f"{name}.py")
        Path(made.__file__).write_bytes(b"#" * bytes_of_source)
    vars(made).update(names)
    return made


def test_modules_that_the_service_names_later_are_its_own(tmp_path: Path) -> None:
    def function() -> None:
        """Of the module `text`."""

    function.__module__ = "text"
    first = module(tmp_path, "first", 1000)
    text = module(tmp_path, "text", 2000, first=first)
    loaded = {"text.part": module(tmp_path, "text.part")}
    loading = Loading(loaded)
    loading.measure(lambda: loaded.update({"heapwatch": module(tmp_path, "heapwatch", 1000)}))
    loading.measure(lambda: loaded.update({"first": first, "text": text}))
    loading.bytes = 100_000
    assert loading.own_bytes() == 100_000
    loaded["shop"] = module(tmp_path, "shop", text=Unfriendly(), read=function)
    assert loading.own_bytes() == round(100_000 * DENSITY / (DENSITY + 3))


class Unfriendly:
    """A proxy that must not be asked anything."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"asked for {name}")


def test_what_loading_leaves_in_memory_is_measured() -> None:
    loading = Loading()
    kept = loading.measure(lambda: b"x" * (64 * MIB))
    assert loading.bytes == pytest.approx(len(kept), rel=0.05)


def test_a_process_loads_the_agent_when_it_is_used_and_knows_what_it_took() -> None:
    code = """
import json, sys
import heapwatch
from heapwatch.loading import loading
before = loading.bytes, "heapwatch.agent" in sys.modules
heapwatch.status()
print(json.dumps([before, [loading.bytes, "heapwatch.agent" in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, (taken, loaded) = json.loads(done.stdout)
    assert before == [0, False]
    assert loaded
    assert MIB < taken < 16 * MIB


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import heapwatch; heapwatch.nothing"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "module 'heapwatch' has no attribute 'nothing'" in done.stderr


@pytest.mark.parametrize("pretence", ["sys.version_info = (3, 14, 0)", "sys.abiflags = 't'"])
def test_a_python_that_is_not_known_gets_the_agent_without_sampler_and_one_line(pretence: str) -> None:
    code = f"""
import heapwatch, json, sys
sys.modules["heapwatch._sampler"] = None  # it isn't built there
heapwatch.status()
{pretence}
heapwatch.start("shop", collector="")
status = heapwatch.status()
heapwatch.stop()
print(json.dumps([status["running"], status["sampler"]]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    running, sampler = json.loads(done.stdout)
    assert running
    assert list(sampler) == ["reason"]
    assert done.stderr.splitlines() == [f"heapwatch: no allocations are sampled: {sampler['reason']}"]
    assert "is none of CPython 3.11, 3.12 and 3.13 with the GIL" in sampler["reason"]
