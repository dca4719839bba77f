"""The report of a leak test as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from heapwatch_wire.evidence import Call

from heapwatch.cli.render import place
from heapwatch.cli.table import WIDTH
from heapwatch.cli.units import duration, signed_size
from heapwatch.leaktest.report import LeakSite, Report

_SITES_SHOWN = 6
_STACK_SHOWN = 8
_LABEL = 12


def text(report: Report, file: str) -> str:
    """The report for people, at most 100 columns wide."""
    lines = [_headline(report, file), ""]
    if report.leak:
        low, high = (signed_size(v) for v in report.interval)
        lines.append(
            f"{'growth':<{_LABEL}}{signed_size(report.bytes_per_step)} a step (95% sure: {low} to {high})"
        )
    for note in report.notes:
        lines += textwrap.wrap(
            note, WIDTH, initial_indent=f"{'note':<{_LABEL}}", subsequent_indent=" " * _LABEL
        )
    for number, site in enumerate(report.sites[:_SITES_SHOWN], 1):
        lines += ["", *_site(number, site)]
    if len(report.sites) > _SITES_SHOWN:
        lines += ["", f"... and {len(report.sites) - _SITES_SHOWN} lines more that make what stays"]
    return "\n".join(lines).rstrip()


def _headline(report: Report, file: str) -> str:
    took = f"{report.steps:,} steps in {duration(report.seconds)}"
    if not report.leak:
        return f"no leak in {file} ({took})"
    kinds = {
        "python": "Python objects stay alive",
        "native": "memory outside of Python objects is not given back",
        "cycle": "reference cycles, and the program turned the garbage collector off",
        "none": "",
    }
    return f"LEAK in {file}: {kinds[report.kind]} ({took})"


def _site(number: int, site: LeakSite) -> Iterator[str]:
    where = place(Call(site.function, site.file, site.line), WIDTH - 4)
    yield f"{f'#{number}':<4}{where}"
    count = f", {site.count_per_step:.3g} blocks" if site.count_per_step else ""
    yield _entry("growth", f"{signed_size(site.bytes_per_step)}{count} a step")
    yield from _entries("type", [site.type] if site.type else [])
    yield from _entries("calls", [f"extension module {site.module}"] if site.module else [])
    yield from _entries("held by", site.holders)
    if site.stack[1:]:
        yield from _entries("stack", [place(call, WIDTH - 16) for call in site.stack[:_STACK_SHOWN]])


def _entries(label: str, values: Sequence[str]) -> Iterator[str]:
    for index, value in enumerate(values):
        yield from textwrap.wrap(
            value,
            WIDTH,
            initial_indent=_entry(label if index == 0 else "", ""),
            subsequent_indent=" " * 18,
            break_on_hyphens=False,
        )


def _entry(label: str, value: str) -> str:
    return f"    {label:<{_LABEL}}{value}"
