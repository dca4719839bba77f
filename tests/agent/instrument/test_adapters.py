"""Adapters are there, and loaded only for libraries that a process uses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from heapwatch.instrument.adapters import INSIDE, SERVING, adapter


@pytest.mark.parametrize("name", sorted({*SERVING.values(), *INSIDE.values()}))
def test_every_adapter_is_there(name: str) -> None:
    assert callable(adapter(name))


def test_a_process_loads_the_adapters_of_what_it_imports() -> None:
    pytest.importorskip("flask")
    code = (
        "import json, sys; import heapwatch; heapwatch.start('shop', holders=False)\n"
        "names = 'heapwatch.instrument.flask', 'heapwatch.instrument.celery'\n"
        "def loaded(): return [name for name in names if name in sys.modules]\n"
        "before = loaded(); import flask; print(json.dumps([before, loaded()])); heapwatch.stop()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = json.loads(done.stdout)
    assert (before, after) == ([], ["heapwatch.instrument.flask"])
