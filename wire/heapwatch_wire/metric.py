"""What a row of the metric table is: names, unit, attributes, buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Instrument = Literal["gauge", "counter", "histogram"]
Source = Literal["agent", "collector", "analyzer", "app"]

PAUSE_BUCKETS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SIZE_BUCKETS = tuple(float(1 << power) for power in range(12, 31, 2))  # 4 KiB to 1 GiB
QUERY_BUCKETS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

_UNIT_SUFFIX = {"By": "bytes", "s": "seconds", "1": "ratio", "By/s": "bytes_per_second"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is UCUM ("By", "s", "1", "{collection}"); counters are monotonic and cumulative."""

    name: str
    instrument: Instrument
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    source: Source = "agent"

    @property
    def prometheus(self) -> str:
        """Name on a Prometheus page (a histogram's without `_bucket`, `_sum`, `_count`)."""
        name = self.name.replace(".", "_")
        suffix = _UNIT_SUFFIX.get(self.unit, "")
        if suffix == "ratio" and self.instrument != "gauge":
            suffix = ""
        if suffix and not name.endswith("_" + suffix):
            name += "_" + suffix
        return name + "_total" if self.instrument == "counter" else name


def label(attribute: str) -> str:
    """Prometheus spelling of an attribute or resource attribute name."""
    return attribute.replace(".", "_")
