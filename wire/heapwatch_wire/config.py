"""Typed settings read once at start: from code, from the environment, from `heapwatch.toml`, in that order.

A table is a frozen dataclass whose fields are made by `setting()`. `load()` fills one. The same table
feeds `--help` and docs/configuration.md, so a setting is described in one place only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

PREFIX = "HEAPWATCH_"
FILE_NAME = "heapwatch.toml"

_SUFFIXES: dict[str, dict[str, float]] = {
    "bytes": {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9},
    "seconds": {"": 1, "S": 1, "MS": 1e-3, "M": 60, "MIN": 60, "H": 3600, "D": 86400},
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

Table = TypeVar("Table")


class ConfigError(ValueError):
    """A setting that can't be used; the message names the variable, the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of a settings table. `unit` is "bytes", "seconds", "ratio", "count" or "" (text, flags)."""

    default: Any
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its `Setting`."""
    row = Setting(default, help, unit, minimum, maximum, choices)
    return field(default=default, metadata={"setting": row})


def in_bytes(default: int, help: str, minimum: float = 0, maximum: float = 1 << 50) -> Any:
    """A `setting` of memory."""
    return setting(default, help, unit="bytes", minimum=minimum, maximum=maximum)


def in_seconds(default: float, help: str, minimum: float, maximum: float) -> Any:
    """A `setting` of time."""
    return setting(default, help, unit="seconds", minimum=minimum, maximum=maximum)


def ratio(default: float, help: str, minimum: float = 0, maximum: float = 1) -> Any:
    """A `setting` that is a part of something."""
    return setting(default, help, unit="ratio", minimum=minimum, maximum=maximum)


def count(default: int, help: str, minimum: float, maximum: float) -> Any:
    """A `setting` that is a number of things."""
    return setting(default, help, unit="count", minimum=minimum, maximum=maximum)


def variable(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def rows(table: type[Any]) -> list[tuple[str, Setting]]:
    """(field name, Setting) of each setting in `table`, in the order in which they are written."""
    return [(f.name, f.metadata["setting"]) for f in fields(table) if "setting" in f.metadata]


def load(
    table: type[Table],
    section: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Table:
    """Fill `table` from `overrides` (None means unset), then `environ`, then `[section]` of `file`.

    `file` is by default the one that HEAPWATCH_CONFIG names, else ./heapwatch.toml if it exists.
    Raises ConfigError for an unknown key, an unreadable file, or a value of the wrong type or range.
    """
    environ = os.environ if environ is None else environ
    in_file = _read_section(section, file, environ)
    known = {f.name: f for f in fields(table) if "setting" in f.metadata}  # type: ignore[arg-type]
    _refuse_unknown(overrides or {}, known, "start()")
    _refuse_unknown(in_file, known, f"[{section}] of {FILE_NAME}")
    values: dict[str, Any] = {}
    for name, fld in known.items():
        if overrides is not None and overrides.get(name) is not None:
            values[name] = parse(fld, overrides[name], name)
        elif environ.get(variable(name), "") != "":
            values[name] = parse(fld, environ[variable(name)], variable(name))
        elif name in in_file:
            values[name] = parse(fld, in_file[name], f"{section}.{name}")
    return table(**values)


def parse(fld: Field[Any], value: Any, where: str) -> Any:
    """`value` as the type, unit and range of `fld`; ConfigError, naming `where`, if it can't be."""
    row: Setting = fld.metadata["setting"]
    kind = type(row.default)
    try:
        parsed = _convert(kind, value, row.unit)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}={value!r}: expected {describe(row)}") from None
    if row.choices and parsed not in row.choices:
        raise ConfigError(f"{where}={value!r}: expected {describe(row)}")
    too_small = row.minimum is not None and parsed < row.minimum
    too_large = row.maximum is not None and parsed > row.maximum
    if too_small or too_large:
        raise ConfigError(f"{where}={value!r}: expected {describe(row)}")
    return parsed


def size(text: str) -> int:
    """A size such as "64KiB" in bytes; ValueError if it isn't one."""
    return int(_quantity(text.strip(), "bytes"))


def describe(row: Setting) -> str:
    """What a value of `row` may be, in words: "a size in bytes (64KiB, 1MiB) from 1 to 67108864"."""
    if row.choices:
        return "one of " + ", ".join(repr(c) for c in row.choices)
    kind = type(row.default)
    if kind is bool:
        return "on or off"
    words = {"bytes": "a size in bytes (64KiB, 1MiB)", "seconds": "a duration in seconds (10, 500ms, 5min)"}
    text = words.get(row.unit, {int: "a whole number", float: "a number"}.get(kind, "text"))
    if row.minimum is not None:
        text += f" from {row.minimum:g}"
    if row.maximum is not None:
        text += f" to {row.maximum:g}" if row.minimum is not None else f" up to {row.maximum:g}"
    return text


def _convert(kind: type, value: Any, unit: str) -> Any:
    if kind is bool:
        return _flag(value)
    if kind is str:
        if not isinstance(value, str):
            raise TypeError(value)
        return value
    if isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, str):
        value = _quantity(value.strip(), unit)
    if kind is int:
        if float(value) != int(value):
            raise ValueError(value)
        return int(value)
    return float(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(value)


def _quantity(text: str, unit: str) -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    suffix = text[len(digits) :].upper()
    suffixes = _SUFFIXES.get(unit, {"": 1})
    if suffix not in suffixes:
        raise ValueError(text)
    return float(digits) * suffixes[suffix]


def _read_section(section: str, file: Path | None, environ: Mapping[str, str]) -> Mapping[str, Any]:
    named = file is not None or bool(environ.get(PREFIX + "CONFIG"))
    path = file or Path(environ.get(PREFIX + "CONFIG") or FILE_NAME)
    if not named and not path.is_file():
        return {}
    # Here and not above: most processes have no such file, and needn't have the parser in memory.
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: can't be read as TOML: {error}") from None
    found = document.get(section, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: [{section}] must be a table")
    return found


def _refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
