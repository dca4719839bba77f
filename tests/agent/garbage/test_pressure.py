"""Pressure is told by the container's limit and by the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from heapwatch.cgroup import ContainerMemory
from heapwatch.gctuner.pressure import Pressure
from heapwatch.stalls import Stalls


@pytest.mark.parametrize(
    ("memory", "stalls", "expected"),
    [
        (ContainerMemory(100, 95, limit=100), "0.00", "95%"),
        (ContainerMemory(100, 80, limit=100), "0.00", ""),
        (ContainerMemory(100, 95), "0.00", ""),
        (None, "25.50", "26%"),
        (ContainerMemory(100, 80, stalls=Stalls(40.0, 0.0, 0.0, 0.0)), "0.00", "40%"),
        (ContainerMemory(100, 80, stalls=Stalls(1.0, 0.0, 0.0, 0.0)), "25.50", ""),
        (None, "nonsense", ""),
    ],
)
def test_pressure(tmp_path: Path, memory: ContainerMemory | None, stalls: str, expected: str) -> None:
    file = tmp_path / "memory.pressure"
    file.write_text(f"some avg10={stalls} avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=0\n")
    said = Pressure(lambda: memory, file)()
    assert expected in said
    assert bool(said) == bool(expected)


def test_a_kernel_without_stalls(tmp_path: Path) -> None:
    assert Pressure(lambda: None, tmp_path / "absent")() == ""
