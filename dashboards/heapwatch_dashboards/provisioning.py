"""Files for Grafana's provisioning folder: data sources, and where the dashboards lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from heapwatch_dashboards.render import write as write_dashboards
from heapwatch_dashboards.sources import Sources

FOLDER = "Heapwatch"


def provider(dashboards: str) -> dict[str, Any]:
    """A dashboard provider that reads the JSON files in `dashboards`, a path as Grafana sees it."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "heapwatch",
                "folder": FOLDER,
                "type": "file",
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": dashboards},
            }
        ],
    }


def write(folder: Path, sources: Sources, mounted: str) -> list[Path]:
    """Write `folder`/provisioning and `folder`/dashboards; `mounted` is the latter as Grafana sees it."""
    documents = {
        "datasources/heapwatch.yaml": {"apiVersion": 1, "datasources": sources.documents()},
        "dashboards/heapwatch.yaml": provider(mounted),
    }
    files = []
    for name, document in documents.items():
        file = folder / "provisioning" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        files.append(file)
    return files + write_dashboards(folder / "dashboards")
