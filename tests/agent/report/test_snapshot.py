"""`heapwatch snapshot` writes what the file's name asks for, of a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from heapwatch_wire import pprof

pytestmark = pytest.mark.integration

SERVICE = """
import sys
def keep(): return [bytearray(2000) for _ in range(3000)]
kept = keep()
print("ready", flush=True)
sys.stdin.read() or __import__("signal").pause()
"""


def test_the_ending_tells_the_format(
    spawn: Any, wait_until: Any, heapwatch: list[str], tmp_path: Path
) -> None:
    place = {"HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"), "HEAPWATCH_SAMPLING_INTERVAL": "4096"}
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    child = spawn(*heapwatch, "run", "--", sys.executable, str(script), env=place)
    child.wait_line("ready")
    wait_until(lambda: list((tmp_path / "run").glob("*.sock")), what="socket")

    def written(name: str) -> bytes:
        path = tmp_path / name
        command = [*heapwatch, "snapshot", str(child.pid), "-o", str(path)]
        subprocess.run(command, env={**os.environ, **place}, check=True, timeout=300, capture_output=True)
        return path.read_bytes()

    assert b"keep (" in written("heap.folded")
    assert b'"keep"' in written("heap.html")
    stacks = pprof.decode(written("heap.pb.gz")).samples
    assert any(frame.function == "keep" for sample in stacks for frame in sample.stack)
