"""The data sources that the dashboards read, as Grafana's provisioning and its API describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses as Grafana reaches them: a Prometheus that scrapes the collector, and the collector."""

    prometheus: str
    collector: str
    token: str = ""

    def documents(self) -> list[dict[str, Any]]:
        """One document per data source that has an address."""
        found = []
        if self.prometheus:
            found.append(self._prometheus())
        if self.collector:
            found.append(self._pyroscope())
        return found

    def _prometheus(self) -> dict[str, Any]:
        return {
            "name": "Heapwatch metrics",
            "uid": "heapwatch-prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": self.prometheus,
            "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
        }

    def _pyroscope(self) -> dict[str, Any]:
        source: dict[str, Any] = {
            "name": "Heapwatch profiles",
            "uid": "heapwatch-pyroscope",
            "type": "grafana-pyroscope-datasource",
            "access": "proxy",
            "url": self.collector,
            "jsonData": {"minStep": "15s"},
        }
        if self.token:
            source["jsonData"]["httpHeaderName1"] = "Authorization"
            source["secureJsonData"] = {"httpHeaderValue1": f"Bearer {self.token}"}
        return source
