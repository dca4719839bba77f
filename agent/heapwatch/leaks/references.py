"""Names of types and of references between objects, found without running a line of the service's code.

Objects are compared by identity, keys are shown only when they are of plain built-in types, attributes are
read through the descriptors that CPython itself made. So no `__eq__`, `__hash__`, `__repr__`,
`__getattr__` or property of the service is ever called.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import sys
import threading
import types
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

MAX_SCANNED = 20_000
_KEY_SHOWN = 40
_PLAIN = (str, int, float, bool, bytes, type(None))
_MANY = "[*]"
_FRAME_OF: dict[type, str] = {
    types.GeneratorType: "gi_frame",
    types.CoroutineType: "cr_frame",
    types.AsyncGeneratorType: "ag_frame",
}
OPTIMIZED = 1
"""CO_OPTIMIZED: the code of a function, whose variables are not in a dict."""
CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_OF_EXCEPTIONS = ("__traceback__", "__context__", "__cause__", "args")
_INSIDES = {
    "_contextvars.Context": "",
    "hamt": "",
    "hamt_bitmap_node": "",
    "hamt_array_node": "",
    "hamt_collision_node": "",
    "mappingproxy": "",
    "_queue.SimpleQueue": "",
    "tuple_iterator": "",
    "_asyncio.Task": ".get_coro()",
}
_CONTAINERS_SHOWN = 8
_ITEMS_SHOWN = 20


class Step(NamedTuple):
    """A reference: how it reads in a path, and how it reads when it stands for many like it.

    `below` says how the next reference reads: None as it is, () as an attribute (this one leads to a
    `__dict__`), names as the one at its index (this one leads to a closure's cells).
    """

    text: str
    general: str
    below: tuple[str, ...] | None = None


TO_ATTRIBUTES = Step("", "", below=())
TO_THREADS = Step("", " (of a thread)", below=())
"""From a `threading.local` to its table of threads."""


def type_name(kind: type) -> str:
    """ "module.Qualified.name", a built-in type without its module."""
    module = type.__dict__["__module__"].__get__(kind)
    name = str(type.__dict__["__qualname__"].__get__(kind))
    return name if module in ("builtins", None) or not isinstance(module, str) else f"{module}.{name}"


def describe(objects: Sequence[object]) -> str:
    """The type of `objects`, which have the same; of built-in containers with the type of what is in them."""
    if not objects:
        return ""
    kind = type(objects[0])
    if kind in CONTAINERS and kind is not dict:
        inside = [item for o in objects[:_CONTAINERS_SHOWN] for item in _some(o)]
        return f"{type_name(kind)} of {_commonest(inside)}" if inside else type_name(kind)
    if kind is dict:
        values = [
            v for o in objects[:_CONTAINERS_SHOWN] for v in _some(dict.values(cast("dict[Any, Any]", o)))
        ]
        return f"dict of {_commonest(values)}" if values else "dict"
    return type_name(kind)


def _some(items: Any) -> list[object]:
    try:
        return list(islice(items, _ITEMS_SHOWN))
    except RuntimeError:  # Changed by another thread meanwhile.
        return []


def _commonest(items: Sequence[object]) -> str:
    counts = Counter(type_name(type(item)) for item in items)
    own = {name: n for name, n in counts.items() if "." in name and n * 10 >= len(items)}
    return max(own or counts, key=lambda name: counts[name])


def is_a(value: object, *kinds: type) -> bool:
    """Like isinstance, which would ask the object itself (`__class__` of a proxy runs its code)."""
    return any(kind in type(value).__mro__ for kind in kinds)


def step(holder: object, held: object) -> Step:
    """The reference from `holder` to `held`."""
    if is_a(holder, dict):
        return _in_mapping(cast("dict[Any, Any]", holder), held)
    if is_a(holder, list, tuple, deque):
        return _in_sequence(holder, held)
    if is_a(holder, set, frozenset):
        return _same("{*}")
    if is_a(holder, type):
        return TO_ATTRIBUTES if is_a(held, dict) else _same(f" ({type_name(type(held))})")
    if type(holder) is types.FunctionType:
        return _in_function(holder, held)
    if type(holder) is types.CellType:
        return _same("")
    if type(holder) is types.BuiltinFunctionType:
        return _same(".__self__")
    if type(holder) is functools._lru_cache_wrapper:
        return _same(" (lru_cache)" if type(held) is dict else " (lru_cache)[*]")
    if is_a(holder, threading.local):
        # Its __dict__ is that of the calling thread, made by running the service's __init__.
        return TO_THREADS
    frame = holder if type(holder) is types.FrameType else suspended_frame(holder)
    if frame is not None:
        name = next((n for n, value in local_variables(frame) if value is held), None)
        local = f", local {name}" if name else ", a value in use"
        return _same(local if frame is holder else f": {code_name(frame)}{local}")
    if type_name(type(holder)) in _INSIDES:
        return _inside(holder, held)
    return _in_instance(holder, held)


def code_name(frame: types.FrameType) -> str:
    """ "function (file:line)" of a frame."""
    code = frame.f_code
    return f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno or code.co_firstlineno})"


def suspended_frame(holder: object) -> types.FrameType | None:
    """The frame of a suspended generator, coroutine or asynchronous generator."""
    name = _FRAME_OF.get(type(holder))
    return getattr(holder, name) if name else None


def local_variables(frame: types.FrameType) -> list[tuple[str, Any]]:
    """(name, value) of each local variable of `frame`, which is left as it was."""
    snapshot: Any = frame.f_locals
    entries = list(snapshot.items())
    if type(snapshot) is dict and frame.f_code.co_flags & OPTIMIZED and sys.getrefcount(snapshot) <= 3:
        # Before 3.13 the frame keeps this copy: it would hold the variables until the function returns.
        # Held by the frame, the variable and the argument only: nobody else has seen it.
        snapshot.clear()
    return entries


def _same(text: str) -> Step:
    return Step(text, text)


def _in_mapping(holder: dict[Any, Any], held: object) -> Step:
    for key, value in _entries(holder):
        if value is held:
            return Step(f"[{_key(key)}]", _MANY)
        if key is held:
            return _same(" (key)")
    return _same(_MANY)


def _entries(mapping: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    if len(mapping) > MAX_SCANNED:
        return ()
    # One C call, so that no other thread changes the dict meanwhile; `dict.items` ignores overriding.
    return list(dict.items(mapping))


def _in_sequence(holder: Any, held: object) -> Step:
    # The built-in's own iterator in one C call: an overriding __iter__ is not asked.
    kind = next(k for k in (list, tuple, deque) if is_a(holder, k))
    try:
        items = list(islice(kind.__iter__(holder), MAX_SCANNED))
    except RuntimeError:  # A deque that changed meanwhile.
        return _same(_MANY)
    index = next((i for i, item in enumerate(items) if item is held), None)
    if index is None:
        return _same(_MANY)
    names = type(holder).__dict__.get("_fields") if kind is tuple else None
    if type(names) is tuple and index < len(names):
        return _same(f".{names[index]}")
    return Step(f"[{index}]", _MANY)


def _in_function(holder: types.FunctionType, held: object) -> Step:
    if held is holder.__closure__:
        return Step("", "", below=tuple(f" (closure: {name})" for name in holder.__code__.co_freevars))
    if held is holder.__globals__:
        return _same(" (globals)")
    return TO_ATTRIBUTES if held is holder.__dict__ else _same(" (defaults)")


def _inside(holder: object, held: object) -> Step:
    """References of C types whose make is no concern of the reader."""
    if type(holder) is contextvars.Context or type(held).__name__.startswith("hamt"):
        return TO_ATTRIBUTES
    if type(holder).__name__.startswith("hamt"):
        around = gc.get_referents(holder)  # A variable, its value, the next variable, ..., or the other way.
        at = next((i for i, value in enumerate(around) if value is held), 0)
        beside = [
            v for v in (*around[at + 1 : at + 2], *around[at - 1 : at]) if type(v) is contextvars.ContextVar
        ]
        return _same(f"[ContextVar {beside[0].name!r}]" if beside else _MANY)
    return _same(_INSIDES[type_name(type(holder))] if type(held) is not tuple else "")


def _in_instance(holder: object, held: object) -> Step:
    attributes = dict_of(holder)
    if attributes is not None and attributes is held:
        return TO_ATTRIBUTES
    if held is type(holder):
        return _same(".__class__")
    # Values kept inline by the instance count as its own references.
    for name, value in [*_entries(attributes or {}), *_members(holder)]:
        if value is held:
            return _same(f".{name}")
    for name, value in _of_exception(holder):
        if value is held:
            return _same(f".{name}")
    return _same(f" ({type_name(type(holder)).rpartition('.')[2]})")


def _of_exception(holder: object) -> Iterator[tuple[str, object]]:
    if is_a(holder, BaseException):
        for name in _OF_EXCEPTIONS:
            yield name, BaseException.__dict__[name].__get__(holder)


def dict_of(holder: object) -> dict[str, Any] | None:
    """The `__dict__` that CPython keeps for `holder`, None when it has none."""
    for kind in type(holder).__mro__:
        descriptor = kind.__dict__.get("__dict__")
        if type(descriptor) is types.GetSetDescriptorType:
            found = descriptor.__get__(holder)
            return found if type(found) is dict else None
        if descriptor is not None:
            return None
    return None


def _members(holder: object) -> Iterator[tuple[str, object]]:
    """(name, value) of each slot and C-level member of `holder`."""
    for kind in type(holder).__mro__:
        for name, descriptor in list(kind.__dict__.items()):
            if type(descriptor) is types.MemberDescriptorType:
                try:
                    yield name, descriptor.__get__(holder)
                except AttributeError:
                    continue


def _key(key: object) -> str:
    """A key as it is written, when it is of a plain type; else its type."""
    if type(key) in _PLAIN:
        text = repr(key)
        return text if len(text) <= _KEY_SHOWN else text[: _KEY_SHOWN - 2] + "…" + text[-1]
    if type(key) is tuple and len(key) <= 4:
        return f"({', '.join(_key(k) for k in key)}{',' if len(key) == 1 else ''})"
    if is_a(key, type):
        return f"<class {type_name(cast(type, key))}>"
    if is_a(key, weakref.ref):
        target = weakref.ref.__call__(cast("weakref.ref[Any]", key))
        return "<dead weakref>" if target is None else f"<weakref to {type_name(type(target))}>"
    return f"<{type_name(type(key))}>"
