"""The defence on recorded cgroup trees: a pod of version 2, a container of version 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from heapwatch.cgroup import CgroupReader
from heapwatch.defence.states import State

if TYPE_CHECKING:
    from conftest import World

MIB = 1 << 20
POD = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5f.slice"
APP = f"{POD}/cri-containerd-9c2.scope"
V2 = "41 31 0:38 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"


class Container:
    """The process's cgroup below `folder`; `files` are written into the groups by their paths."""

    def __init__(self, folder: Path, membership: str, mounts: str) -> None:
        self._folder = folder
        self.write("proc/self", {"cgroup": membership, "mountinfo": mounts})

    def write(self, path: str, files: Mapping[str, object]) -> None:
        folder = self._folder / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")

    def reader(self) -> CgroupReader:
        return CgroupReader(self._folder / "proc", self._folder)


def pod(folder: Path, used: int, **files: object) -> Container:
    """A container of a pod, whose slice has the smaller limit: 1000 MiB. `used` in MiB."""
    made = Container(folder, f"0::/{APP}", V2)
    made.write(f"sys/fs/cgroup/{POD}", {"memory.max": 1000 * MIB, "memory.high": "max"})
    plain = {
        "memory.current": (used + 300) * MIB,
        "memory.max": 4000 * MIB,
        "memory.high": "max",
        "memory.stat": f"anon {used * MIB}\nfile {300 * MIB}\ninactive_file {300 * MIB}\nactive_file 0",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0",
    }
    made.write(f"sys/fs/cgroup/{APP}", {**plain, **files})
    return made


def docker(folder: Path, used: int) -> Container:
    """A container of version 1 with a limit of 1000 MiB."""
    made = Container(folder, "4:memory:/docker/abc\n0::/", V1)
    stat = f"cache 0\ninactive_file 7\nhierarchical_memory_limit 0\ntotal_inactive_file {300 * MIB}"
    made.write(
        "sys/fs/cgroup/memory/docker/abc",
        {
            "memory.usage_in_bytes": (used + 300) * MIB,
            "memory.limit_in_bytes": 1000 * MIB,
            "memory.stat": stat,
        },
    )
    return made


@pytest.mark.parametrize("container", [pod, docker])
@pytest.mark.parametrize(
    ("used", "state"), [(740, State.OK), (760, State.SOFT), (860, State.SHED), (910, State.DRAIN)]
)
def test_a_state_follows_the_working_set(
    container: Callable[[Path, int], Container], used: int, state: State, world: World, tmp_path: Path
) -> None:
    world.cgroup = container(tmp_path, 100).reader()
    defence = world.defence()
    world.serve()
    defence.look()
    assert defence.state is State.OK

    container(tmp_path, used)
    world.rss = used
    world.now += 1
    defence.look()
    assert defence.state is state
    assert defence.reading is not None
    assert (defence.reading.used, defence.reading.limit) == (used * MIB, 1000 * MIB)
    assert defence.reading.whose == "container"


def test_where_the_kernel_slows_tasks_down_counts_as_the_limit(world: World, tmp_path: Path) -> None:
    world.cgroup = pod(tmp_path, 430, **{"memory.high": 500 * MIB}).reader()
    defence = world.defence()
    world.serve()
    defence.look()
    assert defence.reading is not None
    assert defence.reading.limit == 500 * MIB
    assert defence.state is State.SHED


def test_a_container_without_limits_leaves_the_process_own(world: World, tmp_path: Path) -> None:
    made = pod(tmp_path, 430, **{"memory.max": "max"})
    made.write(f"sys/fs/cgroup/{POD}", {"memory.max": "max"})
    world.cgroup = made.reader()
    defence = world.defence(defence_limit=120 * MIB)
    world.serve()
    defence.look()
    assert defence.reading is not None
    assert (defence.reading.whose, defence.reading.limit) == ("process", 120 * MIB)
