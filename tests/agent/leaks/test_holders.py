"""What holds objects: the right root, the right path, none of the service's code called, the slices kept."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from heapwatch.leaks.holders import HolderSearch, Outcome, Wanted
from heapwatch.sampler import Owners

SHOP = """
import functools, threading, collections

class Page:
    def __init__(self, number):
        self.body = [number]
    def shown(self):
        pass

class Slotted:
    __slots__ = ("page",)

class Node:
    pass

class Config:
    pages = []

class Worker(threading.Thread):
    pass

Pair = collections.namedtuple("Pair", "page number")
REGISTRY = {}
LISTENERS = []
QUEUE = collections.deque()
LOCAL = threading.local()

@functools.lru_cache(maxsize=None)
def cached(number):
    return Page(number)

def dictionary(n): REGISTRY[f"u:{n}"] = Page(n)
def attribute(n): REGISTRY.setdefault("photo", Node()).__dict__.setdefault("pages", []).append(Page(n))
def listener(n): LISTENERS.append(Page(n).shown)
def slot(n):
    slotted = Slotted(); slotted.page = Page(n); LISTENERS.append(slotted)
def named(n): LISTENERS.append(Pair(Page(n), n))
def deque(n): QUEUE.append(Page(n))
def class_attribute(n): Config.pages.append(Page(n))
def closure(n):
    page = Page(n)
    def show(): return page
    LISTENERS.append(show)
def cache(n): cached(n)
def partial(n): LISTENERS.append(functools.partial(print, Page(n)))
def cycle_in_registry(n):
    node = Node(); node.me = node; node.page = Page(n); node.page.node = node
    REGISTRY[n] = node
def suspended():
    page = Page(1)
    yield page
    yield
"""


@pytest.fixture
def shop() -> Iterator[types.ModuleType]:
    module = types.ModuleType("shop")
    sys.modules["shop"] = module
    exec(SHOP, module.__dict__)  # noqa: S102 (a service of the test's own)
    yield module
    del sys.modules["shop"]


class Samples:
    """Stands for the sampler: gives out its objects once, so that it doesn't hold them."""

    def __init__(self, objects: list[Any]) -> None:
        self._objects = objects

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        given, self._objects = self._objects[:limit], []
        yield [(stack_ids[0], obj) for obj in given]


def search(samples: Samples, thread: str = "") -> Outcome:
    found = HolderSearch(samples, [Wanted([1], thread)], budget=0.05)
    deadline = time.monotonic() + 120
    while not found.advance():
        assert time.monotonic() < deadline
    return found.outcomes()[0]


def all_of(kind: type) -> Samples:
    """All living objects of a type, as the sampler would give a few of them."""
    return Samples([o for o in gc.get_objects() if type(o) is kind])


@pytest.mark.parametrize(
    ("keep", "root", "path"),
    [
        ("dictionary", "module", "shop.REGISTRY[*]"),
        ("attribute", "module", "shop.REGISTRY['photo'].pages[*]"),
        ("listener", "module", "shop.LISTENERS[*].__self__"),
        ("slot", "module", "shop.LISTENERS[*].page"),
        ("named", "module", "shop.LISTENERS[*].page"),
        ("deque", "module", "shop.QUEUE[*]"),
        ("class_attribute", "class", "shop.Config.pages[*]"),
        ("closure", "module", "shop.LISTENERS[*] (closure: page)"),
        ("cache", "module", "shop.cached (lru_cache)[*]"),
        ("partial", "module", "shop.LISTENERS[*].args[0]"),
        ("cycle_in_registry", "module", "shop.REGISTRY[*].page"),
    ],
)
def test_the_holder_is_named(shop: types.ModuleType, keep: str, root: str, path: str) -> None:
    for number in range(5):
        getattr(shop, keep)(number)
    outcome = search(all_of(shop.Page))
    assert outcome.type == "shop.Page"
    assert [(h.root, h.path, h.share) for h in outcome.holders] == [(root, path, 1.0)]


def test_a_single_sample_is_named_by_its_key(shop: types.ModuleType) -> None:
    shop.dictionary(17)
    assert search(all_of(shop.Page)).holders[0].path == "shop.REGISTRY['u:17']"


def test_shares_tell_two_holders_apart(shop: types.ModuleType) -> None:
    for number in range(8):
        (shop.deque if number % 4 else shop.dictionary)(number)
    holders = search(all_of(shop.Page)).holders
    assert {(h.path, h.share) for h in holders} == {("shop.QUEUE[*]", 0.75), ("shop.REGISTRY[*]", 0.25)}
    assert holders[0].share == 0.75


def test_the_types_on_the_way_are_told(shop: types.ModuleType) -> None:
    shop.attribute(1)
    assert search(all_of(shop.Page)).holders[0].types == ("dict", "shop.Node", "list", "shop.Page")


def test_plain_values_in_an_untracked_dict_are_traced(shop: types.ModuleType) -> None:
    shop.REGISTRY.update({f"key {n}": f"a value of its own {n}" for n in range(5)})
    assert not gc.is_tracked(shop.REGISTRY) or sys.version_info >= (3, 14)
    outcome = search(Samples(list(shop.REGISTRY.values())))
    assert (outcome.type, outcome.holders[0].path) == ("str", "shop.REGISTRY[*]")


def test_keys_are_traced(shop: types.ModuleType) -> None:
    shop.REGISTRY.update({f"a key of its own {n}": True for n in range(5)})
    outcome = search(Samples(list(shop.REGISTRY)))
    assert (outcome.type, outcome.holders[0].path) == ("str", "shop.REGISTRY (key)")


def test_attributes_inline_and_in_a_dict_are_one_holder(shop: types.ModuleType) -> None:
    for number in range(6):
        shop.dictionary(number)
    vars(shop.REGISTRY["u:3"])  # From now on this one has a dict of its own.
    outcome = search(Samples([page.body for page in shop.REGISTRY.values()]))
    assert any("uses freed list objects again" in reason for reason in outcome.reasons)
    assert [(h.path, h.share) for h in outcome.holders] == [("shop.REGISTRY[*].body", 1.0)]


def test_values_of_a_thread_local_belong_to_the_thread(shop: types.ModuleType) -> None:
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        shop.LOCAL.pages = [shop.Page(n) for n in range(5)]
        ready.set()
        done.wait(300)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(300)
    try:
        holder = search(all_of(shop.Page), "worker-1").holders[0]
        assert (holder.root, holder.path) == ("thread", "shop.LOCAL.pages[*] of thread 'worker-1'")
        assert holder.types == ("_thread._local", "list", "shop.Page")
    finally:
        done.set()
        thread.join()


def test_an_attribute_of_a_thread_is_found(shop: types.ModuleType) -> None:
    done = threading.Event()
    shop.Worker.run = lambda self: done.wait(300)
    worker = shop.Worker(name="importer")
    worker.pages = [shop.Page(1)]
    worker.start()
    try:
        holder = search(all_of(shop.Page)).holders[0]
        assert (holder.root, holder.path) == ("thread", "thread 'importer'.pages[0]")
    finally:
        done.set()
        worker.join()


def test_a_local_variable_of_a_running_function_is_found(shop: types.ModuleType) -> None:
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        seen = {"pages": [shop.Page(1)]}
        ready.set()
        done.wait(300)
        seen.clear()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(300)
    try:
        holder = search(all_of(shop.Page)).holders[0]
        assert holder.root == "frame"
        assert "work (" in holder.path
        assert holder.path.endswith("local seen['pages'][0]")
    finally:
        done.set()
        thread.join()


def test_looking_at_a_running_function_keeps_nothing_of_it(shop: types.ModuleType) -> None:
    """Before 3.13, looking at a frame's variables makes a copy that would live as long as the call."""
    looked, dropped, done = threading.Event(), threading.Event(), threading.Event()
    ready = threading.Event()

    def work() -> None:
        page = shop.Page(1)
        ready.set()
        looked.wait(300)
        del page
        dropped.set()
        done.wait(300)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(300)
    try:
        assert search(all_of(shop.Page)).holders[0].root == "frame"
        looked.set()
        dropped.wait(300)
        assert not [o for o in gc.get_objects() if type(o) is shop.Page]
    finally:
        looked.set()
        done.set()
        thread.join()


def test_a_suspended_generator_is_found(shop: types.ModuleType) -> None:
    generator = shop.suspended()
    next(generator)
    holder = search(all_of(shop.Page)).holders[0]
    assert holder.root == "frame"
    assert ", local generator: suspended (" in holder.path
    assert holder.path.endswith("local page")


def test_a_generator_that_only_c_code_holds_is_where_the_chain_ends(shop: types.ModuleType) -> None:
    generator = shop.suspended()
    next(generator)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(generator))
    address = id(generator)
    del generator
    holder = search(all_of(shop.Page)).holders[0]
    ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))
    assert holder.root == "generator"
    assert holder.path.startswith("suspended (")
    assert holder.path.endswith("local page")


def test_what_only_c_code_holds_is_said_so(shop: types.ModuleType) -> None:
    page = shop.Page(1)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(page))
    del page
    holder = search(all_of(shop.Page)).holders[0]
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(next(o for o in gc.get_objects() if type(o) is shop.Page)))
    assert holder.root == "C"


def test_what_only_a_cycle_holds_is_said_so(shop: types.ModuleType) -> None:
    gc.disable()
    try:
        for number in range(3):
            shop.cycle_in_registry(number)
        shop.REGISTRY.clear()
        outcome = search(all_of(shop.Page))
    finally:
        gc.enable()
    assert [h.root for h in outcome.holders] == ["unknown"]
    assert "reference cycle" in outcome.holders[0].path
    assert any("next full garbage collection" in reason for reason in outcome.reasons)


def test_frozen_objects_are_searched_too(shop: types.ModuleType) -> None:
    """gunicorn --preload with gc.freeze(): the registry is older than the freeze, its pages are not."""
    shop.CATALOGUE = [[number] for number in range(150_000)]
    shop.attribute(0)
    shop.REGISTRY["photo"].pages.clear()
    gc.freeze()
    try:
        shop.attribute(1)
        assert search(all_of(shop.Page)).holders[0].path == "shop.REGISTRY['photo'].pages[0]"
    finally:
        gc.unfreeze()


WALK = """
import gc, os
from heapwatch.sampler import Owners, walk

def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))

catalogue = [[number] for number in range(400_000)]
held = []
holder = [held]
gc.freeze()
if os.fork() == 0:
    before = private()
    heap, found = walk(), False
    while not heap.done:
        found = any(match[0] is holder for match in heap.referrers([held], 0.001)) or found
    assert found
    print(private() - before, flush=True)
    os._exit(0)
os.wait()
"""


def test_frozen_pages_that_processes_share_are_not_copied() -> None:
    """The catalogue takes some 40 MB; taking a reference to each list of it would copy all of that."""
    ran = subprocess.run(
        [sys.executable, "-c", WALK], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(ran.stdout) < 4_000


def test_the_services_own_class_is_preferred_to_built_in_types(shop: types.ModuleType) -> None:
    for number in range(10):
        shop.dictionary(number)
    pages = list(shop.REGISTRY.values())
    outcome = search(Samples([*pages, *(page.body for page in pages), *(page.body for page in pages)]))
    assert outcome.type == "shop.Page"


def test_contents_are_preferred_to_the_containers_that_hold_them(shop: types.ModuleType) -> None:
    shop.LISTENERS.extend(f"a line of its own {n}" for n in range(3))
    shop.QUEUE.extend([n] for n in range(9))
    assert search(Samples([*shop.LISTENERS, *shop.QUEUE])).type == "str"


def test_a_container_is_described_by_what_is_in_it(shop: types.ModuleType) -> None:
    shop.LISTENERS.extend(shop.Page(n) for n in range(9))
    assert search(Samples([shop.LISTENERS])).type == "list of shop.Page"


def test_a_global_is_named_by_the_module_it_is_at_home_in(shop: types.ModuleType) -> None:
    """`from shop import BUS` gives the same object a second name, in a module with a shorter one."""
    shop.BUS = shop.Node()
    shop.BUS.page = shop.Page(1)
    other = types.ModuleType("a")
    other.BUS = shop.BUS  # type: ignore[attr-defined]
    sys.modules["a"] = other
    try:
        assert search(all_of(shop.Page)).holders[0].path == "shop.BUS.page"
    finally:
        del sys.modules["a"]


def test_what_everything_refers_to_is_searched_no_further(shop: types.ModuleType) -> None:
    page = shop.Page(1)
    shop.LISTENERS.extend([page] for _ in range(500))
    del page
    holder = search(all_of(shop.Page)).holders[0]
    assert (holder.root, holder.path) == ("module", "shop.LISTENERS[0][0]")


def test_several_sites_are_searched_at_once(shop: types.ModuleType) -> None:
    shop.dictionary(1)
    shop.LISTENERS.append(shop.Node())

    class TwoSites:
        def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
            kinds = {shop.Page: 1, shop.Node: 2}
            yield [(kinds[type(o)], o) for o in gc.get_objects() if type(o) in kinds]

    found = HolderSearch(TwoSites(), [Wanted([1]), Wanted([3]), Wanted([2])], budget=0.05)
    while not found.advance():
        pass
    paths = [[h.path for h in outcome.holders] for outcome in found.outcomes()]
    assert paths == [["shop.REGISTRY['u:1']"], [], ["shop.LISTENERS[0]"]]


def test_without_objects_it_says_so() -> None:
    outcome = search(Samples([]))
    assert outcome.holders == ()
    assert "no sampled block" in outcome.reasons[0]


class Hostile:
    """Everything that the search might ask of it fails the test."""

    def _fail(self, *args: object) -> Any:
        raise AssertionError("the search ran the service's code")

    __eq__ = __repr__ = __str__ = __bool__ = __len__ = __iter__ = __getitem__ = _fail
    __hash__ = __getattr__ = __instancecheck__ = __class__ = property(_fail)  # type: ignore[assignment]


class HostileDict(dict[Any, Any]):
    items = keys = values = __iter__ = __getitem__ = Hostile._fail  # type: ignore[assignment]


class HostileList(list[Any]):
    __iter__ = __getitem__ = __len__ = __contains__ = Hostile._fail  # type: ignore[assignment]


def test_no_code_of_the_service_runs(shop: types.ModuleType) -> None:
    hostile = Hostile()
    object.__setattr__(hostile, "page", shop.Page(1))
    shop.REGISTRY["hostile"] = HostileDict()
    dict.__setitem__(shop.REGISTRY["hostile"], "list", HostileList())
    list.append(dict.__getitem__(shop.REGISTRY["hostile"], "list"), hostile)
    assert search(all_of(shop.Page)).holders[0].path == "shop.REGISTRY['hostile']['list'][0].page"
    list.clear(dict.__getitem__(shop.REGISTRY["hostile"], "list"))


def test_the_search_lets_go_of_everything_when_it_is_done(shop: types.ModuleType) -> None:
    shop.dictionary(1)
    found = HolderSearch(all_of(shop.Page), [Wanted([1])], budget=0.05)
    while not found.advance():
        pass
    shop.REGISTRY.clear()
    assert not [o for o in gc.get_objects() if type(o) is shop.Page]


def test_a_search_cut_short_blames_nobody(shop: types.ModuleType) -> None:
    shop.dictionary(1)
    found = HolderSearch(all_of(shop.Page), [Wanted([1])], budget=0.0)
    assert found.outcomes()[0].holders == ()
    assert any("ended early" in reason for reason in found.outcomes()[0].reasons)
    while not found.outcomes()[0].holders:
        found.advance()
    assert [h.root for h in found.outcomes()[0].holders] == ["unknown"]
    assert any("ended early" in reason for reason in found.outcomes()[0].reasons)


def test_a_large_heap_is_searched(shop: types.ModuleType) -> None:
    ballast = [[n] for n in range(150_000)]
    shop.dictionary(1)
    found = HolderSearch(all_of(shop.Page), [Wanted([1])], budget=0.0001)
    while not found.advance():
        pass
    assert found.outcomes()[0].holders[0].path == "shop.REGISTRY['u:1']"
    assert len(ballast) == 150_000


def test_objects_that_come_and_go_meanwhile_do_no_harm(shop: types.ModuleType) -> None:
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.wait(0.0001):
            for _ in range(20):
                shop.dictionary(number % 100)
                shop.REGISTRY.pop(f"u:{(number * 7) % 100}", None)
                shop.QUEUE.append(shop.Page(number))
                number += 1
            shop.QUEUE.clear()

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        for _ in range(3):
            assert search(all_of(shop.Page)).type in ("", "shop.Page")
    finally:
        stop.set()
        worker.join()
