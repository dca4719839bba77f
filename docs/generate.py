#!/usr/bin/env python3
"""Writes the generated pages of docs/ from the tables in the code; `--check` fails when a page is stale.

Also checks that every relative link and image in the documentation leads somewhere.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heapwatch.cli.parser import OWN
from heapwatch.cli.shapes import SHAPES
from heapwatch_alerts import command as alerts_command
from heapwatch_app import command as app_command
from heapwatch_app.settings import AppSettings
from heapwatch_dashboards import command as dashboards_command
from heapwatch_wire import config
from heapwatch_wire.metrics import METRICS, RESOURCE_ATTRIBUTES
from heapwatch_wire.settings import SECTIONS
from heapwatch_wire.shapes import UNITS

ROOMS: Mapping[str, Any] = {
    "alerts": alerts_command,
    "dashboards": dashboards_command,
    "app": app_command,
}
"""Commands of server rooms whose actions print data."""
ROOT = Path(__file__).resolve().parent.parent
HEADER = "<!-- Written by docs/generate.py; edit the table in {source} instead. -->\n\n"


def metrics_page() -> str:
    """docs/metrics.md: every metric with its names, unit, attributes and meaning."""
    lines = [
        HEADER.format(source="wire/heapwatch_wire/metrics.py"),
        "# Metrics\n\n",
        "Names are OpenTelemetry's; the second column is the Prometheus spelling. Resource attributes on all: ",
        ", ".join(f"`{name}`" for name in RESOURCE_ATTRIBUTES) + ".\n",
    ]
    for source, title in (
        ("agent", "From the agent"),
        ("app", "From the reference app"),
        ("collector", "From the collector"),
        ("analyzer", "From the analyzer"),
    ):
        rows = [m for m in METRICS if m.source == source]
        if not rows:
            continue
        lines.append(
            f"\n## {title}\n\n| metric | Prometheus | kind | unit | attributes | meaning |\n|---|---|---|---|---|---|\n"
        )
        for m in rows:
            attributes = ", ".join(f"`{a}`" for a in m.attributes)
            lines.append(
                f"| `{m.name}` | `{m.prometheus}` | {m.instrument} | {m.unit} | {attributes} | {m.description} |\n"
            )
    return "".join(lines)


def configuration_page() -> str:
    """docs/configuration.md: every setting of every room."""
    lines = [
        HEADER.format(source="wire/heapwatch_wire/settings.py and app/heapwatch_app/settings.py"),
        "# Configuration\n\n",
        "A setting is taken from code or the command line, else from the environment variable, else from its section "
        f"in `{config.FILE_NAME}` (in the working directory, or where `HEAPWATCH_CONFIG` says). ",
        "Sizes may be written `64KiB` or `1MiB`, durations `500ms`, `10s` or `5min`. ",
        "A value that can't be used is an error that names the variable, the value and what is allowed.\n",
    ]
    for section, table in {**SECTIONS, "app": AppSettings}.items():
        summary = " ".join((table.__doc__ or "").split())
        lines.append(
            f"\n## `[{section}]`\n\n{summary}\n\n| setting | variable | default | allowed | meaning |\n|---|---|---|---|---|\n"
        )
        for name, row in config.rows(table):
            default = "" if row.default == "" else f"`{row.default}`"
            lines.append(
                f"| `{name}` | `{config.variable(name)}` | {default} | {config.describe(row)} | {row.help} |\n"
            )
    return "".join(lines)


def commands_page() -> str:
    """docs/commands.md: commands, their options and examples, and the shapes of their JSON."""
    lines = [
        HEADER.format(source="agent/heapwatch/cli"),
        "# Commands\n\n",
        "`heapwatch COMMAND --help` says the same. What `--json` prints keeps its shape within a major version; ",
        f"fields may be added. {UNITS} A text that ends in `?` is null when unknown, a key that does may be missing, ",
        "one in capitals stands for any number of keys, `...` for a document of its own.\n",
    ]
    for name, command in OWN.items():
        parser = argparse.ArgumentParser(prog=f"heapwatch {name}")
        command.configure(parser)
        lines.append(f"\n## heapwatch {name}\n\n{command.HELP[:1].upper()}{command.HELP[1:]}.\n\n")
        lines.append("| option | meaning |\n|---|---|\n")
        lines += [f"| {option} | {meaning} |\n" for option, meaning in options_of(parser)]
        lines.append(f"\n```\n{(parser.epilog or '').partition('--json prints:')[0].rstrip()}\n```\n")
        if name in SHAPES:
            lines.append(in_json("--json", SHAPES[name]))
    for name, room in ROOMS.items():
        lines.append(f"\n## heapwatch {name}\n\n{room.HELP[:1].upper()}{room.HELP[1:]}. ")
        lines.append(f"`heapwatch {name} ACTION --help` has the options.\n")
        for action, shape in room.SHAPES.items():
            lines.append(in_json(f"heapwatch {name} {action} --json", shape))
    return "".join(lines)


def in_json(command: str, shape: Any) -> str:
    """The shape of what `command` prints."""
    return f"\n`{command}`:\n```json\n{json.dumps(shape, indent=1, ensure_ascii=False)}\n```\n"


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Option or argument as it is written, and its help."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = action.metavar or ("|".join(action.choices) if action.choices else action.dest)
        names = ", ".join(action.option_strings)
        written = names if action.nargs == 0 else f"{names} {value}".strip()
        meaning = (action.help or "").replace("%%", "%")
        yield f"`{written}`".replace("|", "\\|"), meaning.replace("|", "\\|")


def benchmarks_page() -> str:
    """docs/benchmarks.md: every recorded result."""
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")]
    lines = [
        "<!-- Written by docs/generate.py from benchmarks/results; run the benchmark named there instead. -->\n\n",
        "# Benchmarks\n\n",
        "`make bench-sampler` measures again what the sampler costs and how exact it is; each section names the command ",
        "that makes it alone, in the environment that `make test` sets up. Results are kept in `benchmarks/results/`.\n",
    ]
    for result in sorted(results, key=lambda result: (result["order"], result["name"])):
        machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
        lines.append(f"\n## {result['title']}\n\n{result['about']}\n")
        for table in result["tables"]:
            lines.append(f"\n**{table['caption']}**\n\n")
            lines.append("".join(f"| {' | '.join(row)} |\n" for row in with_rule(table)))
            lines.append(f"\n{table['note']}\n" if table["note"] else "")
        lines.append(
            f"\n`{result['command']}`, {result['recorded']}, commit {result['commit']}; {machine}.\n"
        )
    return "".join(lines)


def with_rule(table: dict[str, Any]) -> list[list[str]]:
    """Columns, the line under them, rows."""
    return [table["columns"], ["---"] + ["---:"] * (len(table["columns"]) - 1), *table["rows"]]


PAGES = {
    "docs/metrics.md": metrics_page,
    "docs/configuration.md": configuration_page,
    "docs/commands.md": commands_page,
    "docs/benchmarks.md": benchmarks_page,
}


def stale_pages() -> Iterator[str]:
    for name, page in PAGES.items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != page():
            yield f"{name} is stale: run `make docs`"


def dead_links() -> Iterator[str]:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if (
                "://" not in target
                and not target.startswith("mailto:")
                and not (document.parent / target).exists()
            ):
                yield f"{document.relative_to(ROOT)}: {target} leads nowhere"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a page or a link is stale"
    )
    args = parser.parse_args()
    if not args.check:
        for name, page in PAGES.items():
            (ROOT / name).write_text(page(), encoding="utf-8")
            print(f"wrote {name}")
        return 0
    problems = [*stale_pages(), *dead_links()]
    print("\n".join(problems) or "docs are up to date")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
