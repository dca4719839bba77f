"""What to change, from a verdict: the type that piles up, what holds it, and where it is made.

Each rule reads the evidence and answers with a recommendation or None; the first that answers wins, and the
last one always does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from heapwatch_wire.evidence import Evidence, Holder, Recommendation

Rule = Callable[[Evidence], Recommendation | None]

_LISTENER = re.compile(
    r"listener|handler|observer|subscri|callback|receiver|hook|signal|watcher", re.IGNORECASE
)
_CALLABLE = re.compile(r"(^|\.)(method|function|partial|builtin_function_or_method)$")
_LOCAL = re.compile(
    r"(^|[._])(thread_?)?local(s)?\b|threading\.local|_thread\._local|ContextVar", re.IGNORECASE
)
_BOUND = ("__self__", "__func__", "__wrapped__")
_MAPPING = re.compile(r"(^|\.)\w*([Dd]ict|Map|Mapping|Cache)$")
_COLLECTION = re.compile(r"(^|\.)(list|deque|set|frozenset|tuple)$")
_THREAD = re.compile(r"^(thread '[^']*'|a thread): ")
_SUBSCRIPT = re.compile(r"\['(?:[^'\\]|\\.)*'\]|\[[^\]]*\]")
_CYCLE = "the cycle: "
_EXCEPTION = re.compile(r"(Error|Exception|traceback|frame)$")


def recommend(evidence: Evidence) -> Recommendation:
    """The change that would stop `evidence`'s growth, and the bytes per hour that it saves."""
    answers = (rule(evidence) for rule in _RULES)
    return next(answer for answer in answers if answer is not None)


def container(holder: Holder) -> str:
    """What in `holder` gains the objects: its path up to the subscript that differs between objects
    (`[*]`), up to the first one when none does."""
    subscripts = list(_SUBSCRIPT.finditer(holder.path))
    differing = next((s for s in subscripts if s.group() == "[*]"), None)
    first = differing or next(iter(subscripts), None)
    path = holder.path[: first.start()] if first else holder.path
    return _THREAD.sub("", path)


def _container_type(holder: Holder) -> str:
    """The type of `container(holder)`; "" when it can't be told."""
    before = len(_SUBSCRIPT.findall(container(holder)))
    collections = [t for t in holder.types if _MAPPING.search(t) or _COLLECTION.search(t)]
    return collections[before] if before < len(collections) else ""


def _cycle(evidence: Evidence) -> Recommendation | None:
    told = next((reason for reason in evidence.reasons if reason.startswith(_CYCLE)), "")
    if evidence.kind != "cycle" or not told:
        return None
    path, _, change = told.removeprefix(_CYCLE).rstrip(".").partition(". ")
    way = path.removesuffix(" (itself)")
    text = (
        f"The {_objects(evidence)} made at {_line(evidence)} refer to themselves by {way}, so only the "
        f"garbage collector frees them, and only when it gets to it. {change}."
    )
    return _answer(evidence, "Break the reference cycle", text)


def _listeners(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or not (_LISTENER.search(holder.path) or _called(evidence, holder)):
        return None
    name = container(holder)
    text = (
        f"{name} keeps every listener that {_line(evidence)} registers, and each keeps its whole object "
        f"alive. Keep weakref.WeakMethod(listener) (for plain objects a weakref.WeakSet) in {name} instead "
        f"of the listener itself, or unregister it {_teardown(evidence)}."
    )
    return _answer(evidence, f"Unregister listeners of {name}, or hold them weakly", text)


def _thread_local(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or not (holder.root == "thread" or _any(_LOCAL, (holder.path, *holder.types))):
        return None
    name = container(holder)
    text = (
        f"{name} belongs to a thread, and server threads outlive requests, so what {_line(evidence)} puts "
        f"there is never dropped. Clear it {_teardown(evidence)}, or keep it on the request "
        f"(flask.g, contextvars.ContextVar with reset)."
    )
    return _answer(evidence, f"Clear {name} at the end of each request", text)


def _cache(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or not _MAPPING.search(_container_type(holder)):
        return None
    name = container(holder)
    text = (
        f"{name} gets an entry for each new key at {_line(evidence)} and never loses one. "
        f"Bound it: functools.lru_cache(maxsize=1024) on the function that fills it, or "
        f"{name} = cachetools.TTLCache(maxsize=1024, ttl=300); check too that its key doesn't hold anything "
        f"unique to a request (id, time, whole URL)."
    )
    return _answer(evidence, f"Bound the cache {name}", text)


def _collection(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or not _COLLECTION.search(_container_type(holder)):
        return None
    name = container(holder)
    text = (
        f"{name} only ever gains what {_line(evidence)} adds. Give it a bound "
        f"(collections.deque(maxlen=1000) keeps the newest), or take items out where they are done with: "
        f"{_teardown(evidence)}."
    )
    return _answer(evidence, f"Bound {name} or remove from it", text)


def _running(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or holder.root not in ("frame", "generator"):
        return None
    what = "a call that never returns" if holder.root == "frame" else "a generator that nobody finishes"
    text = (
        f"{holder.path} keeps the {_objects(evidence)} made at {_line(evidence)}: {what}. Empty the "
        f"local variable as items are done with, or close the generator (contextlib.closing)."
    )
    return _answer(evidence, f"Let go of {holder.path}", text)


def _native(evidence: Evidence) -> Recommendation | None:
    holder = _main(evidence)
    if holder is None or holder.root != "C":
        return None
    text = (
        f"The {_objects(evidence)} made at {_line(evidence)} are held from C: an extension module "
        f"counts a reference that no Python object shows. Look for an update of the package called there, "
        f"and call its close(), clear() or release() if it has one."
    )
    return _answer(evidence, f"Release {_objects(evidence)} held by an extension module", text)


def _exceptions(evidence: Evidence) -> Recommendation | None:
    if not _EXCEPTION.search(evidence.type):
        return None
    text = (
        f"{_objects(evidence)} from {_line(evidence)} outlive their handling. A stored exception keeps "
        f"its traceback, and that every local variable of each frame: store str(error), or use "
        f"error.with_traceback(None) before keeping it."
    )
    return _answer(evidence, "Don't keep exceptions with their tracebacks", text)


def _generic(evidence: Evidence) -> Recommendation:
    holder = _main(evidence)
    held = f"They are held by {holder.path}: " if holder else "What holds them was not found: "
    text = (
        f"{_line(evidence)} makes {_objects(evidence)} that are never freed"
        f"{_from_endpoint(evidence)}. {held}drop that reference when the work is done, "
        f"or bound what collects them."
    )
    return _answer(evidence, f"Free what {_where(evidence)} allocates", text)


_RULES: tuple[Rule, ...] = (
    _cycle, _exceptions, _listeners, _thread_local, _running, _native, _cache, _collection, _generic,
)  # fmt: skip


def _answer(evidence: Evidence, title: str, text: str) -> Recommendation:
    return Recommendation(title, text, max(0.0, evidence.growth.bytes_per_second) * 3600)


def _main(evidence: Evidence) -> Holder | None:
    return max(evidence.holders, key=lambda h: h.share, default=None)


def _called(evidence: Evidence, holder: Holder) -> bool:
    """Whether functions or methods are what piles up, or hold what does."""
    below = _THREAD.sub("", holder.path)[len(container(holder)) :]
    return bool(_CALLABLE.search(evidence.type)) or any(name in below for name in _BOUND)


def _any(pattern: re.Pattern[str], texts: tuple[str, ...]) -> bool:
    return any(pattern.search(text) for text in texts)


def _objects(evidence: Evidence) -> str:
    return f"{evidence.type} objects" if evidence.type else "objects"


def _where(evidence: Evidence) -> str:
    site = evidence.site
    return f"{site.function} ({PurePath(site.file).name}:{site.line})"


def _line(evidence: Evidence) -> str:
    site, caller = evidence.site, evidence.site.caller
    text = f"{site.file}:{site.line} ({site.function})"
    if caller is not None and (caller.file, caller.line) != (site.file, site.line):
        text += f", called from {caller.file}:{caller.line} ({caller.function})"
    return text


def _endpoint(evidence: Evidence) -> str:
    named = [e for e in evidence.endpoints if e.name]
    return max(named, key=lambda e: e.share).name if named else ""


def _from_endpoint(evidence: Evidence) -> str:
    endpoint = _endpoint(evidence)
    return f", most of them while serving {endpoint}" if endpoint else ""


def _teardown(evidence: Evidence) -> str:
    endpoint = _endpoint(evidence)
    return (
        f"when a request ends (teardown_request; {endpoint} makes most)" if endpoint else "when the work ends"
    )
