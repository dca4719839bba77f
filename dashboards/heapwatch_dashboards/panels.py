"""Panels in the house style: each has a title, a description, a unit and its data source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heapwatch_wire.thresholds import Threshold

from heapwatch_dashboards.queries import Query
from heapwatch_dashboards.sdk import (
    Builder,
    PromQueryFormat,
    common,
    common_builders,
    dashboard,
    grafanapyroscope,
    models,
    prometheus,
    stat,
    table,
    timeseries,
    units,
)

PROMETHEUS = common.DataSourceRef(type_val="prometheus", uid="${prometheus}")
PYROSCOPE = common.DataSourceRef(type_val="grafana-pyroscope-datasource", uid="${pyroscope}")

BYTES = units.BytesIEC
BYTES_PER_SECOND = units.BytesPerSecondIEC
SECONDS = units.Seconds
RATIO = units.PercentUnit
COUNT = units.Short
PER_SECOND = "cps"

_CALM, _WARNING, _CRITICAL = "green", "orange", "red"

FULL, HALF, THIRD, QUARTER = 24, 12, 8, 6

AnyPanel = Builder[models.Panel]


def lines(*thresholds: Threshold) -> Sequence[models.Threshold]:
    """Grafana's colour steps of `thresholds`, given from the milder to the severer, all bad on one side."""
    colours = [_CRITICAL] if len(thresholds) == 1 else [_WARNING, _CRITICAL]
    marks = list(zip(thresholds, colours, strict=True))
    if thresholds[0].bad == "above":
        return [models.Threshold(None, _CALM), *(models.Threshold(t.value, c) for t, c in marks)]
    # Below the lowest value it is worst: each colour holds up to the next value.
    above = [_CALM, *(colour for _, colour in marks)]
    steps = [models.Threshold(t.value, c) for (t, _), c in zip(marks, above, strict=False)]
    return [models.Threshold(None, _CRITICAL), *reversed(steps)]


def graph(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    marks: Sequence[Threshold] = (),
    stacked: bool = False,
    span: int = HALF,
) -> AnyPanel:
    """Lines over time; `marks` are drawn across as dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(PROMETHEUS)
        .height(8)
        .span(span)
        .fill_opacity(20 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(common_builders.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM))
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if marks:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(marks)).thresholds_style(style)
    for index, query in enumerate(queries):
        panel.with_target(_target(query, index).range())
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    marks: Sequence[Threshold] = (),
    empty: str = "-",
    span: int = 4,
) -> AnyPanel:
    """One figure, with its course behind it."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .no_value(empty)
        .datasource(PROMETHEUS)
        .height(4)
        .span(span)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, 0).range())
    )
    steps = (
        _thresholds(marks) if marks else dashboard.ThresholdsConfig().steps([models.Threshold(None, "blue")])
    )
    return panel.thresholds(steps.mode(models.ThresholdsMode.ABSOLUTE))


def rows(
    title: str,
    description: str,
    unit: str,
    query: Query,
    columns: Mapping[str, str],
    *,
    span: int = FULL,
) -> AnyPanel:
    """A table of the current values; `columns` maps label names (and "Value") to headings, in order."""
    hidden = dict.fromkeys(("Time",), True)
    organize = {
        "excludeByName": hidden,
        "renameByName": dict(columns),
        "indexByName": {name: index for index, name in enumerate(columns)},
    }
    return (
        table.Panel()
        .title(title)
        .description(description)
        .no_value("none")
        .datasource(PROMETHEUS)
        .height(8)
        .span(span)
        .unit(unit)
        .with_target(_target(query, 0).instant().format(PromQueryFormat.TABLE))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
    )


def flame_graph(title: str, description: str, profile_type: str, selector: str) -> AnyPanel:
    """A flame graph from the Pyroscope data source, of profiles that fit `selector`."""
    query = (
        grafanapyroscope.Dataquery()
        .profile_type_id(profile_type)
        .label_selector(selector)
        .query_type("profile")
        .max_nodes(8192)
        .ref_id("A")
        .datasource(PYROSCOPE)
    )
    return (
        dashboard.Panel()
        .type("flamegraph")
        .title(title)
        .description(description)
        .datasource(PYROSCOPE)
        .unit(BYTES)
        .height(16)
        .span(FULL)
        .with_target(query)
    )


def _thresholds(marks: Sequence[Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(list(lines(*marks)))


def _target(query: Query, index: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(PROMETHEUS)
    return target.legend_format(query.legend) if query.legend else target
