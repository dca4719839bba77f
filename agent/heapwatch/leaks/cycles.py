"""Reference cycles: the way round, and the reference of it that had better be weak.

Which reference is a matter of what the author meant, so the advice follows usage: what points back (`parent`,
`owner`, a bound method kept as callback) is weak in well-made libraries, what points on (`children`) is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heapwatch.leaks.references import Step, type_name

_BACK = re.compile(
    r"parent|owner|back|prev|root|outer|context|ctx|manager|handler|callback|client|loop|session"
)
_ATTRIBUTE = re.compile(r"\.(\w+)$")
_CLOSURE = re.compile(r" \(closure: (\w+)\)$")
_LOCAL = re.compile(r"(?:: (?P<function>\S+) \([^)]*\))?, local (?P<name>\w+)$")
_OF_EXCEPTIONS = ("__traceback__", "__context__", "__cause__", "tb_frame", "tb_next")


@dataclass(frozen=True)
class Cycle:
    """`path` reads once round from one of the objects, `change` says what would break it, `finalizers` are
    the types on the way that have a `__del__`."""

    path: str
    change: str
    finalizers: tuple[str, ...]


def describe_cycle(links: Sequence[tuple[object, str, Step]]) -> Cycle:
    """The cycle that goes by `links`: (holder, how the reference reads, the reference), the last one leading
    to the first holder."""
    owners = _owners(links)
    path = f"{owners[0]}{''.join(text for _, text, _ in links)} (itself)"
    types = {type_name(type(holder)): type(holder) for holder, _, _ in links}
    finalizers = tuple(
        name for name, kind in types.items() if any("__del__" in k.__dict__ for k in kind.__mro__)
    )
    return Cycle(
        path, _advice([(owner, text) for owner, (_, text, _) in zip(owners, links, strict=True)]), finalizers
    )


def _owners(links: Sequence[tuple[object, str, Step]]) -> list[str]:
    """Of each link the type that its reference belongs to: that of the instance, not of its `__dict__`."""
    names = []
    for i, (holder, _, _) in enumerate(links):
        before = links[i - 1]
        names.append(type_name(type(before[0] if before[2].below == () else holder)))
    return names


def _advice(links: Sequence[tuple[str, str]]) -> str:
    """What to change, the likeliest first."""
    frames = [match for _, text in links if (match := _LOCAL.search(text))]
    if frames and any(text.endswith(_OF_EXCEPTIONS) for _, text in links):
        function = next((m["function"] for m in frames if m["function"]), "")
        where = f" of {function}" if function else ""
        return (
            f"Delete the local variable {frames[0]['name']!r}{where} when it is no longer needed"
            " (try/finally: del): it holds an exception, whose traceback holds the variables"
        )
    attributes = [(owner, m[1]) for owner, text in links if (m := _ATTRIBUTE.search(text))]
    methods = [owner for owner, name in attributes if name == "__self__"]
    back = [(owner, name) for owner, name in attributes if _BACK.search(name.lower())]
    plain = [(owner, name) for owner, name in attributes if not name.startswith("__")]
    if back or (plain and not methods):
        owner, name = (back or plain)[-1]
        return f"Hold {owner}.{name} weakly (weakref.ref, weakref.proxy), or set it to None when done"
    if methods:
        return "Keep the bound method weakly (weakref.WeakMethod)"
    closures = [m[1] for _, text in links if (m := _CLOSURE.search(text))]
    if closures:
        return f"Let the inner function not refer to {closures[0]!r}: hand it over, or hold it weakly"
    return "Hold one of these references weakly, or clear it when done"
