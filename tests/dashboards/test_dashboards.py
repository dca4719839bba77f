"""The rendered dashboards are what Grafana reads, and ask for what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml
from heapwatch_dashboards.panels import lines
from heapwatch_dashboards.render import DASHBOARDS, documents, text
from heapwatch_dashboards.sdk import models
from heapwatch_wire import thresholds
from heapwatch_wire.metrics import METRICS

SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "data" / "grafana-jsonschema"

_VARIABLES = {
    "$__rate_interval": "1m",
    "$service": "shop",
    "$version": "1.4",
    "$instance": "web-1",
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    return documents()


@pytest.fixture(params=sorted(DASHBOARDS))
def document(request: pytest.FixtureRequest, rendered: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = rendered[request.param]
    return found


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expressions(document: dict[str, Any]) -> Iterator[str]:
    """PromQL of all panels, with Grafana's variables filled in."""
    for panel in panels(document):
        for target in panel["targets"]:
            if "expr" in target:
                expression = target["expr"]
                for variable, value in _VARIABLES.items():
                    expression = expression.replace(variable, value)
                yield expression


def test_grafanas_model_knows_every_key(document: dict[str, Any]) -> None:
    # The model drops what it doesn't know, so that an invented key would be missing afterwards.
    assert json.loads(text(models.Dashboard.from_json(document))) == document


def test_round_trip_would_notice_an_invented_key(document: dict[str, Any]) -> None:
    wrong = {**document, "colour": "blue"}
    assert json.loads(text(models.Dashboard.from_json(wrong))) != wrong


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"Grafana's JSON Schemas are not at {SCHEMAS}")
def test_fits_grafanas_json_schema(document: dict[str, Any]) -> None:
    schema = json.loads((SCHEMAS / "dashboard.jsonschema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    broken = json.loads(json.dumps(document))
    broken["panels"][1]["gridPos"]["w"] = "wide"
    assert list(validator.iter_errors(broken))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
def test_prometheus_accepts_every_query(rendered: dict[str, Any], tmp_path: Path) -> None:
    queries = [e for document in rendered.values() for e in expressions(document)]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", "rules.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries)} rules found" in done.stdout


def selectors(node: Any) -> Iterator[Any]:
    """All vector selectors below a parsed PromQL node."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    else:
        for name in ("lhs", "rhs", "expr"):
            if (child := getattr(node, name, None)) is not None:
                yield from selectors(child)
        for child in getattr(node, "args", None) or ():
            yield from selectors(child)


def series_names() -> set[str]:
    found = {m.prometheus for m in METRICS if m.instrument != "histogram"}
    parts = ("_bucket", "_sum", "_count")
    return found | {m.prometheus + part for m in METRICS if m.instrument == "histogram" for part in parts}


def test_every_query_reads_only_metrics_that_exist_and_narrows_by_service(document: dict[str, Any]) -> None:
    known = series_names()
    read = [s for expression in expressions(document) for s in selectors(promql_parser.parse(expression))]
    assert len(read) >= len(panels(document)) - 2
    for selector in read:
        assert selector.name in known
        assert "service" in {matcher.name for matcher in selector.matchers.matchers}


def test_every_counter_is_read_as_a_rate(document: dict[str, Any]) -> None:
    rising = series_names() - {m.prometheus for m in METRICS if m.instrument == "gauge"}
    for expression in expressions(document):
        for match in re.finditer(r"(\w+)\{", expression):
            if match[1] in rising:
                assert expression[: match.start()].endswith(("rate(", "increase("))


def test_variables_are_offered_and_used(document: dict[str, Any]) -> None:
    offered = {variable["name"] for variable in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels(document)))) - {"__rate_interval", "__all"}
    assert used <= offered
    assert offered - {"pyroscope"} <= used
    assert "pyroscope" in offered


def test_every_panel_says_what_it_shows(document: dict[str, Any]) -> None:
    for panel in panels(document):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] in ("${prometheus}", "${pyroscope}")


def test_panels_lie_inside_the_grid_and_do_not_overlap(document: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


def test_rows_of_panels_are_full(document: dict[str, Any]) -> None:
    widths: dict[int, int] = {}
    for panel in document["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


def test_uids_and_titles_are_stable(rendered: dict[str, Any]) -> None:
    assert {uid: document["uid"] for uid, document in rendered.items()} == {uid: uid for uid in DASHBOARDS}
    assert len({document["title"] for document in rendered.values()}) == len(rendered)


def test_lines_are_the_alerts_thresholds(rendered: dict[str, Any]) -> None:
    used = {p["title"]: p for p in panels(rendered["heapwatch-fleet"])}["Memory limit used"]
    defaults = used["fieldConfig"]["defaults"]
    steps = [(step["value"], step["color"]) for step in defaults["thresholds"]["steps"]]
    high, critical = thresholds.MEMORY_HIGH.value, thresholds.MEMORY_CRITICAL.value
    assert steps == [(None, "green"), (high, "orange"), (critical, "red")]
    assert defaults["custom"]["thresholdsStyle"]["mode"] == "dashed"


def test_what_is_bad_below_is_red_at_the_bottom() -> None:
    steps = [(step.value, step.color) for step in lines(thresholds.LIMIT_NEAR, thresholds.LIMIT_IMMINENT)]
    assert steps == [(None, "red"), (3600.0, "orange"), (21600.0, "green")]


def test_the_flame_graphs_ask_for_what_the_agent_sends(rendered: dict[str, Any]) -> None:
    flames = [p for p in panels(rendered["heapwatch-leaks"]) if p["type"] == "flamegraph"]
    asked = [target["profileTypeId"] for panel in flames for target in panel["targets"]]
    assert asked == ["memory:inuse_space:bytes:space:bytes", "memory:alloc_space:bytes:space:bytes"]
    for panel in flames:
        assert panel["datasource"]["type"] == "grafana-pyroscope-datasource"
        assert "service_name=~" in panel["targets"][0]["labelSelector"]
