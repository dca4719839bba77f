"""Evidence and analyses as they were sent; of each the latest."""

from __future__ import annotations

import json
from typing import Any

from heapwatch_collector.store.conditions import Conditions
from heapwatch_collector.store.engine import Store


def evidence(
    store: Store, service: str, version: str | None = None, site: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """(instance, Evidence as JSON values), the latest of each instance and site, newest first."""
    conditions = Conditions()
    conditions.equals("service", service)
    if version is not None:
        conditions.equals("version", version)
    if site is not None:
        conditions.equals("site", site)
    sql = f"SELECT instance, document FROM evidence FINAL {conditions.where} ORDER BY ts DESC, instance"
    return [(instance, json.loads(text)) for instance, text in store.rows(sql, conditions.parameters)]


def analyses(store: Store, service: str | None = None, version: str | None = None) -> list[dict[str, Any]]:
    """Analysis as JSON values, the latest of each service version, newest first."""
    conditions = Conditions()
    if service is not None:
        conditions.equals("service", service)
    if version is not None:
        conditions.equals("version", version)
    sql = f"SELECT document FROM analyses FINAL {conditions.where} ORDER BY ts DESC, service, version"
    return [json.loads(row[0]) for row in store.rows(sql, conditions.parameters)]
