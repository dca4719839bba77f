"""What the doctor reads of a process, from a recorded /proc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from heapwatch.cli.doctor.gather import is_python, is_worker

Record = Callable[..., None]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """record(pid, parent=, command=, program=, maps=): a process below `tmp_path`."""

    def write(pid: int, parent: int, command: bytes, program: str = "python3.11", maps: str = "") -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a) b) S {parent} 0 0")
        (folder / "cmdline").write_bytes(command)
        (folder / "exe").symlink_to(f"/usr/bin/{program}")
        (folder / "maps").write_text(maps)

    return write


def test_a_worker_has_its_parents_command_line(tmp_path: Path, record: Record) -> None:
    record(1, parent=0, command=b"gunicorn\0app:app\0")
    record(7, parent=1, command=b"gunicorn\0app:app\0")
    record(8, parent=1, command=b"sh\0-c\0ls\0")
    # The first process of a container has no parent that can be read.
    assert [is_worker(pid, tmp_path) for pid in (1, 7, 8, 9)] == [False, True, False, False]


def test_python_is_known_by_its_program_and_inside_of_others(tmp_path: Path, record: Record) -> None:
    record(7, parent=1, command=b"", program="python3.13")
    record(8, parent=1, command=b"", program="uwsgi", maps="7f00-7f10 r-xp /usr/lib/libpython3.11.so.1.0\n")
    record(9, parent=1, command=b"", program="sleep", maps="7f00-7f10 r-xp /usr/lib/libc.so.6\n")
    assert [is_python(pid, tmp_path) for pid in (7, 8, 9, 10)] == [True, True, False, False]
