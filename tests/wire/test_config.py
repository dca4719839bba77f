"""Settings: where a value comes from, what it may be, what the error says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from heapwatch_wire.config import ConfigError, load, setting
from heapwatch_wire.settings import SECTIONS, AgentSettings


@dataclass(frozen=True)
class Table:
    size: int = setting(1024, "A size.", unit="bytes", minimum=1, maximum=1 << 20)
    pause: float = setting(1.0, "A pause.", unit="seconds", minimum=0)
    name: str = setting("x", "A name.")
    mode: str = setting("off", "A mode.", choices=("off", "on"))
    flag: bool = setting(False, "A flag.")


def read(environ: dict[str, str] | None = None, **overrides: Any) -> Table:
    return load(Table, "table", overrides=overrides, environ=environ or {})


def test_code_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "heapwatch.toml"
    file.write_text('[table]\nsize = "2KiB"\nname = "file"\npause = 3\n')
    found = load(
        Table,
        "table",
        overrides={"size": 5, "name": None},
        environ={"HEAPWATCH_NAME": "environment"},
        file=file,
    )
    assert (found.size, found.name, found.pause, found.mode) == (5, "environment", 3.0, "off")


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("64KiB", 65536), ("1MiB", 1 << 20), ("1kb", 1000), ("1.5 KiB", 1536)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert read({"HEAPWATCH_SIZE": text}).size == size


@pytest.mark.parametrize(("text", "pause"), [("0.5", 0.5), ("500ms", 0.5), ("5min", 300.0), ("2h", 7200.0)])
def test_durations_have_units(text: str, pause: float) -> None:
    assert read({"HEAPWATCH_PAUSE": text}).pause == pause


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIZE", "0"), ("SIZE", "2MiB"), ("SIZE", "many"), ("SIZE", "1.5"), ("SIZE", "nan"), ("SIZE", "inf"),
        ("SIZE", "5 apples"), ("PAUSE", "-1"), ("MODE", "maybe"), ("FLAG", "perhaps"), ("PAUSE", "nan"),
    ],
)  # fmt: skip
def test_an_unusable_value_names_variable_value_and_what_is_allowed(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({f"HEAPWATCH_{variable}": value})
    text = str(caught.value)
    assert f"HEAPWATCH_{variable}" in text
    assert repr(value) in text
    assert "expected" in text


@pytest.mark.parametrize("value", [True, [], {"a": 1}, b"x"])
def test_wrong_types_in_code_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="size"):
        read(size=value)


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'sise'.*known are.*size"):
        read(sise=1)


def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[table\n")
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        load(Table, "table", environ={"HEAPWATCH_CONFIG": str(file)})


def test_an_empty_variable_is_unset() -> None:
    assert read({"HEAPWATCH_SIZE": ""}).size == 1024


def test_every_default_fits_its_own_bounds() -> None:
    for section, table in SECTIONS.items():
        assert load(table, section, environ={}) == table()
    assert load(AgentSettings, "agent", environ={}).sampling_interval == 65536
