"""All dashboards, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heapwatch_dashboards import fleet, instance, leaks
from heapwatch_dashboards.sdk import JSONEncoder, models

DASHBOARDS: dict[str, Callable[[], models.Dashboard]] = {
    "heapwatch-fleet": fleet.build,
    "heapwatch-instance": instance.build,
    "heapwatch-leaks": leaks.build,
}


def text(model: models.Dashboard) -> str:
    """`model` as Grafana's dashboard JSON."""
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def documents() -> dict[str, Any]:
    """Each dashboard by its uid, as plain JSON values."""
    return {uid: json.loads(text(build())) for uid, build in DASHBOARDS.items()}


def write(folder: Path) -> list[Path]:
    """Write each dashboard to `folder`/UID.json; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for uid, build in DASHBOARDS.items():
        file = folder / f"{uid}.json"
        file.write_text(text(build()), encoding="utf-8")
        files.append(file)
    return files
