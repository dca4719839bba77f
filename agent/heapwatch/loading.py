"""What it took to load the agent's modules, for its account of itself.

They come before the sampler, which would count them else. Measured by pages, as the kernel counts them: code
objects, classes, what the standard library's modules need that the service had not loaded itself.

What the service's own modules name by now, they would have loaded without the agent, too: that is not the
agent's any more. Pages can't be told apart by module, so they are divided by the size of sources: 7.3 bytes
in memory for a byte of the agent's, 3.2 for one of the standard library's (measured on CPython 3.11; most of
the agent's classes are dataclasses and named tuples, and more of the library's sources is documentation).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is among what is measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any, TypeVar

    from heapwatch.sampler import Sampler

    Loaded = TypeVar("Loaded")

AGENT = frozenset({"heapwatch", "heapwatch_wire"})
DENSITY = 7.3 / 3.2
"""Of the agent's sources, against the standard library's."""
_MODULE = type(sys)
_FUNCTIONS = (type(len), type(os.fspath), type(os.getenv))
_CLASS_MODULE: Callable[[type], object] = type.__dict__["__module__"].__get__


class Loading:
    """`bytes` are those that all calls have left in memory, `modules` the names of what they loaded.

    `loaded` are the process's modules by name.
    """

    def __init__(self, loaded: dict[str, ModuleType] | None = None) -> None:
        self.bytes = 0
        self.modules: set[str] = set()
        self._loaded = sys.modules if loaded is None else loaded
        self._known = 0
        self._share = 1.0

    def measure(self, load: Callable[[], Loaded]) -> Loaded:
        """What `load` returns. What other threads take meanwhile counts, too."""
        before, known = _anonymous(), set(self._loaded)
        loaded = load()
        self.bytes += max(0, _anonymous() - before)
        self.modules |= self._loaded.keys() - known
        return loaded

    def own_bytes(self) -> int:
        """Bytes of the modules that nothing but the agent names. Looks anew when others were loaded."""
        if self._known != len(self._loaded):
            self._known = len(self._loaded)
            self._share = self._own_share()
        return round(self.bytes * self._share)

    def _own_share(self) -> float:
        sizes = {name: self._size(name) for name in self.modules}
        used = self._used_by_the_service({name for name in self.modules if not _is_agents(name)})
        total = sum(sizes.values())
        return 1 - sum(sizes[name] for name in used) / total if total else 1.0

    def _size(self, name: str) -> float:
        return _source_bytes(self._loaded.get(name)) * (DENSITY if _is_agents(name) else 1.0)

    def _used_by_the_service(self, shared: set[str]) -> set[str]:
        """Those of `shared` that the service's modules name, or what they name names."""
        used: set[str] = set()
        looked_at = [name for name in list(self._loaded) if name not in shared and not _is_agents(name)]
        while looked_at:
            name = looked_at.pop()
            found = (shared & _names(self._loaded.get(name))) - used - _parts(name, shared)
            used |= found
            looked_at += found
        return used


def _is_agents(name: str) -> bool:
    return name.partition(".")[0] in AGENT


def _parts(package: str, modules: set[str]) -> set[str]:
    """A package names its parts whoever loaded them."""
    return {name for name in modules if name.rpartition(".")[0] == package}


def _names(module: ModuleType | None) -> set[object]:
    """The modules that a module's values are, or come from. Other values aren't asked, for they may be the
    service's code, such as a proxy."""
    values: Iterable[object] = list(vars(module).values()) if type(module) is _MODULE else ()
    return {_origin(value) for value in values}


def _origin(value: Any) -> object:
    if type(value) is _MODULE:
        return vars(value).get("__name__")
    if type(value) in _FUNCTIONS:
        return value.__module__
    if not issubclass(type(value), type):
        return None
    try:
        return _CLASS_MODULE(value)
    except AttributeError:  # somebody took it away
        return None


def _source_bytes(module: ModuleType | None) -> int:
    """0 for what was compiled to machine code."""
    path = vars(module).get("__file__") if type(module) is _MODULE else None
    try:
        return os.stat(path).st_size if path and path.endswith(".py") else 0  # noqa: PTH116 - as below
    except OSError:
        return 0


loading = Loading()
"""Of this process, with what its parent had loaded before it forked."""


def own_memory(sampler: Sampler) -> int:
    """Bytes of the agent beside the sampler's tables: modules as measured, objects as `sampler` estimates."""
    return loading.own_bytes() + int(sampler.stats().get("agent_bytes", 0))


def _anonymous() -> int:
    """Resident bytes that are of no file; 0 where the kernel doesn't say."""
    try:
        # Not by pathlib, which is among what is measured.
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            pages = file.read().split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
