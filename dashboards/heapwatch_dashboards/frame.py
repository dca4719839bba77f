"""What all dashboards share: variables, time range, links among each other."""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_dashboards.panels import PROMETHEUS, AnyPanel
from heapwatch_dashboards.queries import series
from heapwatch_dashboards.sdk import dashboard, models

TAG = "heapwatch"


def board(uid: str, title: str, description: str, variables: Sequence[str]) -> dashboard.Dashboard:
    """An empty dashboard with the data sources' and the named `variables` (see _CHOICES)."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("15s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.DatasourceVariable("pyroscope").label("Profiles").type("grafana-pyroscope-datasource")
        )
        .link(
            dashboard.DashboardLink("Heapwatch")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
    )
    for name in variables:
        built.with_variable(_choice(name))
    return built


# Each choice is narrowed by the ones before it.
_CHOICES = {
    "service": "",
    "version": 'service=~"$service"',
    "instance": 'service=~"$service", version=~"$version"',
}


def _choice(name: str) -> dashboard.QueryVariable:
    values = f"label_values({series('process.memory.usage', _CHOICES[name])}, {name})"
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .query(values)
        .datasource(PROMETHEUS)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )


def section(built: dashboard.Dashboard, title: str, panels: Sequence[AnyPanel]) -> None:
    """A row with a title, and `panels` below it."""
    built.with_row(dashboard.Row(title))
    for panel in panels:
        built.with_panel(panel)


def finished(built: dashboard.Dashboard) -> models.Dashboard:
    """The dashboard, its panels numbered."""
    model = built.build()
    for number, panel in enumerate(model.panels or [], start=1):
        panel.id_val = number
    return model
