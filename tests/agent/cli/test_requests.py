"""What the endpoints of several processes take is one table."""

from __future__ import annotations

from typing import Any

from heapwatch.cli.commands.requests import merge, text

REPEAT = {"statement": "SELECT ?", "requests": 3, "most": 9, "line": "feed (shop.py:3)"}
SUMS: dict[str, Any] = {
    "name": "GET /feed",
    "kind": "request",
    "requests": 10,
    "seconds": 2.0,
    "allocated": 10 << 20,
    "retained": 1 << 20,
    "peak": 2 << 20,
    "live": 5 << 20,
    "cpu": 0.5,
    "cpu_requests": 5,
    "gc": 0.01,
    "statements": 90,
    "statement_seconds": 1.0,
    "template_seconds": 0.2,
    "repeated": [REPEAT],
}


def test_processes_add_up_and_figures_are_those_of_one_request() -> None:
    other = {**SUMS, "requests": 30, "repeated": [{**REPEAT, "most": 12}]}
    [total] = merge([SUMS, other])
    assert total["repeated"] == [{**REPEAT, "requests": 6, "most": 12}]
    header, row, *rest = text([total]).splitlines()
    cells = dict(zip(header.split()[1:], row.removeprefix("GET /feed").split(), strict=False))
    assert cells["requests"] == "40"
    assert row.split()[2:7] == ["40", "100.0", "ms", "100.0", "ms"]
    assert "512 KiB" in row
    assert "10.0 MiB" in row
    assert "  GET /feed: up to 12 times, by feed (shop.py:3)" in rest


def test_a_job_named_as_a_request_is_another_thing() -> None:
    assert len(merge([SUMS, {**SUMS, "kind": "job"}])) == 2


def test_unknown_cpu_time_and_no_request_are_said() -> None:
    [total] = merge([{**SUMS, "cpu_requests": 0, "repeated": []}])
    assert " ? " in text([total])
    assert "N+1" not in text([total])
    assert text([]) == "No request, task or job has ended yet."
