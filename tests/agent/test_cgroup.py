"""The cgroup reader against recorded trees of version 1, version 2, containers and hosts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from heapwatch.cgroup import Bound, CgroupReader, ContainerMemory
from heapwatch.stalls import MACHINE, Stalls, read_stalls
from hypothesis import given
from hypothesis import strategies as st

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


def test_where_the_kernel_slows_tasks_down_is_a_limit(world: World) -> None:
    world.process("0::/pod/app\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod", memory__max="5000000", memory__high="3500000")
    world.group("sys/fs/cgroup/pod/app", memory__max="4000000", memory__high="max")
    memory = world.memory()
    assert memory is not None
    assert memory.limit == 3500000


def test_the_nearest_limit_binds_with_what_others_take_of_it(world: World) -> None:
    world.process("0::/pod/app\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod", memory__max="5000000", memory__current="4800000")
    world.group("sys/fs/cgroup/pod/app", memory__max="2000000")
    memory = world.memory()
    assert memory is not None
    assert (memory.working_set, memory.limit) == (700000, 2000000)
    assert memory.bound == Bound(4500000, 5000000)
    world.group("sys/fs/cgroup/pod", memory__max="5000000", memory__current="1000000")
    memory = world.memory()
    assert memory is not None
    assert memory.bound == Bound(700000, 2000000)


def test_a_limit_above_that_was_met_is_counted(world: World) -> None:
    world.process("0::/pod/app\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod", memory__events__local="low 9\nhigh 2\nmax 5\noom 1\noom_kill 3\n")
    world.group("sys/fs/cgroup/pod/app", memory__events="high 4\nmax 7\noom_kill 1\noom_group_kill 2\n?\nx -")
    memory = world.memory()
    assert memory is not None
    assert memory.events == {"high": 6, "max": 12, "oom": 1, "oom_kill": 1, "oom_group_kill": 2}


def test_a_group_without_the_controller_is_counted_in_the_one_above(world: World) -> None:
    world.process("0::/pod/app/init\n", V2_MOUNT.format(root="/"))
    world.group("sys/fs/cgroup/pod/app", memory__max="2000000")
    (world.folder / "sys/fs/cgroup/pod/app/init").mkdir()
    memory = world.memory()
    assert memory is not None
    assert (memory.usage, memory.limit) == (1000000, 2000000)


@pytest.mark.parametrize(
    ("path", "mounted", "usage"),
    [
        ("/", "/", 1),
        ("/app", "/", 2),
        ("/pod/app", "/pod", 2),
        ("/pod", "/pod", 1),
        ("/../sidecar", "/", None),  # not of our namespace: its name is told, but it isn't mounted
        ("/../..", "/", None),
        ("/../sidecar", "/..", 3),
        ("/", "/..", None),  # of our namespace, whose own name below the mount isn't told
        ("/pods", "/pod", None),
        ("/other", "/pod", None),
        ("/not shown here", "/", 1),
    ],
)
def test_paths_are_those_below_the_mount(world: World, path: str, mounted: str, usage: int | None) -> None:
    world.process(f"0::{path}\n", V2_MOUNT.format(root=mounted))
    for number, group in enumerate(("", "app", "sidecar"), 1):
        world.group(f"sys/fs/cgroup/{group}", memory__current=str(number))
    (world.folder / "memory.current").write_text("0")
    memory = world.memory()
    assert (memory and memory.usage) == usage


def test_a_process_of_another_container_is_found_through_our_own_mounts(world: World) -> None:
    world.process("0::/\n", V2_MOUNT.format(root="/"))
    other = world.folder / "proc/77"
    other.mkdir()
    (other / "cgroup").write_text("0::/docker/abc\n")
    (other / "mountinfo").write_text(V2_MOUNT.format(root="/docker/abc"))
    world.group("sys/fs/cgroup")
    world.group("sys/fs/cgroup/docker/abc", memory__current="77")
    memory = CgroupReader(world.folder / "proc", world.folder, "77").memory()
    assert memory is not None
    assert memory.usage == 77


@pytest.mark.parametrize("order", [1, -1])
def test_stalls_are_read_by_their_names(world: World, order: int) -> None:
    world.process("0::/\n", V2_MOUNT.format(root="/"))
    lines = V2_FILES["memory.pressure"].splitlines()[::order]
    world.group("sys/fs/cgroup", memory__pressure="\n".join(lines))
    memory = world.memory()
    assert memory is not None
    assert memory.stalls == Stalls(12.5, 3.25, 2.5, 1.25)
    world.group("sys/fs/cgroup", memory__pressure=V2_FILES["memory.pressure"].splitlines()[0])
    memory = world.memory()
    assert memory is not None
    assert memory.stalls == Stalls(12.5, None, 2.5, None)


Group = tuple[int, int, int | None, int | None]
"""What its own tasks use, inactive file pages, memory.max and memory.high."""
sizes = st.integers(1, 10**13)
groups = st.tuples(sizes, sizes, st.none() | sizes, st.none() | sizes)


@given(st.lists(groups, min_size=1, max_size=4))
def test_the_fullest_of_any_groups_binds_and_the_smallest_is_the_limit(nested: list[Group]) -> None:
    shares, limits = [], []
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for number, (_, inactive, hard, soft) in enumerate(nested):
            used = sum(own for own, *_ in nested[number:])
            world.group(
                "sys/fs/cgroup/" + "/".join(map(str, range(number + 1))),
                memory__current=str(used + inactive),
                memory__stat=f"inactive_file {inactive}",
                memory__max=str(hard or "max"),
                memory__high=str(soft or "max"),
            )
            limits += [limit for limit in (hard, soft) if limit]
            shares += [used / limit for limit in (hard, soft) if limit]
        path = "/".join(map(str, range(len(nested))))
        world.process(f"0::/{path}\n", V2_MOUNT.format(root="/"))
        memory = world.memory()
    assert memory is not None
    assert memory.limit == min(limits, default=None)
    assert (memory.bound and memory.bound.share) == max(shares, default=None)


@given(st.binary(), st.binary(), st.dictionaries(st.sampled_from(sorted(V2_FILES)), st.binary()))
def test_whatever_the_files_hold_nothing_is_raised(
    membership: bytes, mounts: bytes, files: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.process("", "")
        world.group("sys/fs/cgroup")
        for name, content in files.items():
            (world.folder / "sys/fs/cgroup" / name).write_bytes(content)
        for begin, point in ((b"0::/\n", V2_MOUNT.format(root="/").encode()), (b"", b"")):
            (world.folder / "proc/self/cgroup").write_bytes(begin + membership)
            (world.folder / "proc/self/mountinfo").write_bytes(point + mounts)
            world.memory()


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
