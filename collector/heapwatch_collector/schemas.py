"""JSON Schemas of the documents, made from their dataclasses, so that they can't tell another story."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def components(*documents: type) -> dict[str, Any]:
    """A schema by name for each of `documents` and every dataclass that it holds."""
    found: dict[str, Any] = {}
    for document in documents:
        _add(document, found)
    return found


def reference(document: type) -> dict[str, Any]:
    """A reference to the schema of `document`."""
    return {"$ref": f"#/components/schemas/{document.__name__}"}


def _add(document: Any, found: dict[str, Any]) -> None:
    if document.__name__ in found:
        return
    found[document.__name__] = schema = {
        "type": "object",
        "description": (document.__doc__ or "").strip(),
        "additionalProperties": False,
    }
    hints = typing.get_type_hints(document)
    required = [f.name for f in fields(document) if f.default is MISSING and f.default_factory is MISSING]
    schema["required"] = required
    schema["properties"] = {f.name: _schema(hints[f.name], found) for f in fields(document)}


def _schema(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(kind) and isinstance(kind, type):
        _add(kind, found)
        return reference(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if a is type(None) else _schema(a, found) for a in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], found)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], found)}
    return {"type": _SCALARS[kind]}
