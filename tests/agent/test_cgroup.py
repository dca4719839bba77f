"""The cgroup reader against recorded trees of version 1, version 2, containers and hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from heapwatch.cgroup import CgroupReader, ContainerMemory
from heapwatch.stalls import MACHINE, Stalls, read_stalls

V2_MOUNT = "41 31 0:38 {root} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
V1_MOUNTS = (
    "34 31 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
V2_FILES = {
    "memory.current": "1000000",
    "memory.max": "max",
    "memory.peak": "2000000",
    "memory.stat": "anon 600000\ninactive_file 300000\n",
    "memory.events": "low 0\nhigh 4\nmax 7\noom 1\noom_kill 1\n",
    "memory.pressure": "some avg10=12.50 avg60=4.00 avg300=1.00 total=2500000\n"
    "full avg10=3.25 avg60=1.00 avg300=0.00 total=1250000\n",
}
V1_FILES = {
    "memory.usage_in_bytes": "1000000",
    "memory.limit_in_bytes": "9223372036854771712",
    "memory.max_usage_in_bytes": "2000000",
    "memory.failcnt": "3",
    "memory.stat": "inactive_file 5\ntotal_inactive_file 300000\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
}


class World:
    """A folder with proc/self and the mounted cgroup tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "proc/self").mkdir(parents=True)

    def process(self, membership: str, mounts: str) -> None:
        (self.folder / "proc/self/cgroup").write_text(membership)
        (self.folder / "proc/self/mountinfo").write_text(mounts)

    def group(self, path: str, **changed: str) -> None:
        base = V1_FILES if path.startswith("sys/fs/cgroup/memory") else V2_FILES
        folder = self.folder / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {
            **base,
            **{name.replace("__", "."): text for name, text in changed.items()},
        }.items():
            (folder / name).write_text(text + "\n")

    def memory(self) -> ContainerMemory | None:
        return CgroupReader(self.folder / "proc", self.folder).memory()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_version_2_in_a_container(world: World) -> None:
    world.process("0::/\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup", memory__max="4000000")
    assert world.memory() == ContainerMemory(
        usage=1000000,
        working_set=700000,
        limit=4000000,
        peak=2000000,
        events={"low": 0, "high": 4, "max": 7, "oom": 1, "oom_kill": 1},
        stalls=Stalls(some=12.5, full=3.25, some_seconds=2.5, full_seconds=1.25),
    )


def test_the_limit_of_a_group_above_counts_when_it_is_smaller(world: World) -> None:
    world.process("0::/pod/app\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod", memory__max="3000000")
    world.group("sys/fs/cgroup/pod/app", memory__max="5000000")
    memory = world.memory()
    assert memory is not None
    assert memory.limit == 3000000


def test_where_the_kernel_slows_tasks_down_is_known(world: World) -> None:
    world.process("0::/pod/app\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod", memory__max="5000000", memory__high="3500000")
    world.group("sys/fs/cgroup/pod/app", memory__max="4000000", memory__high="max")
    memory = world.memory()
    assert memory is not None
    assert (memory.limit, memory.high) == (4000000, 3500000)


def test_version_1_beside_an_empty_version_2(world: World) -> None:
    world.process("4:memory:/docker/abc\n1:cpu:/\n0::/\n", V1_MOUNTS.format(root="/"))
    world.group("sys/fs/cgroup/memory/docker/abc")
    assert world.memory() == ContainerMemory(
        usage=1000000, working_set=700000, limit=None, peak=2000000, events={"max": 3, "oom_kill": 2}
    )


def test_a_container_that_sees_the_hosts_path_but_its_own_branch(world: World) -> None:
    world.process("4:memory:/docker/abc\n", V1_MOUNTS.format(root="/docker/abc"))
    world.group("sys/fs/cgroup/memory", memory__usage_in_bytes="77")
    memory = world.memory()
    assert memory is not None
    assert memory.usage == 77


@pytest.mark.parametrize(
    "text", ["", "some avg10=1.00\n", "nonsense", "some avg10=x total=1\nfull avg10=0 total=0"]
)
def test_stalls_that_cant_be_read_leave_the_rest(world: World, text: str) -> None:
    world.process("0::/\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup", memory__pressure=text)
    memory = world.memory()
    assert memory is not None
    assert (memory.usage, memory.stalls) == (1000000, None)


def test_stalls_of_this_machine_are_read_where_its_kernel_counts_them() -> None:
    assert (read_stalls() is not None) == MACHINE.exists()


@pytest.mark.parametrize(
    ("membership", "mounts"),
    [("0::/\n", V2_MOUNT.format(root="/")), ("0::/\n", ""), ("", ""), ("4:memory:/x\n", "nonsense\n")],
)
def test_no_memory_cgroup_is_no_error(world: World, membership: str, mounts: str) -> None:
    world.process(membership, mounts)
    assert world.memory() is None


def test_a_line_of_another_form_is_skipped(world: World) -> None:
    world.process("nonsense\n\n1:2\n0::/\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup")
    memory = world.memory()
    assert memory is not None
    assert memory.usage == 1000000


def test_no_proc_is_no_error(tmp_path: Path) -> None:
    assert CgroupReader(tmp_path / "none", tmp_path).memory() is None
