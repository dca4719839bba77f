"""The agent's account of its own modules."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from heapwatch.loading import Loading

MIB = 1 << 20


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
