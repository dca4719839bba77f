"""The outcome of a leak test, as JSON between processes and for users."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from heapwatch_wire.evidence import Call

Kind = Literal["python", "native", "cycle", "none"]


@dataclass(frozen=True)
class LeakSite:
    """A line whose memory stays: `type` of the objects ("" when it is no object), `module` the extension
    module that it calls ("" for none), `holders` what keeps them, `stack` innermost first."""

    file: str
    function: str
    line: int
    type: str
    module: str
    bytes_per_step: float
    count_per_step: float
    holders: tuple[str, ...]
    stack: tuple[Call, ...]


@dataclass(frozen=True)
class Report:
    """`interval` is the 95% interval of `bytes_per_step`; `steps` those measured; `notes` are sentences."""

    leak: bool
    kind: Kind
    bytes_per_step: float
    interval: tuple[float, float]
    sites: tuple[LeakSite, ...]
    steps: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def to_json(report: Report) -> dict[str, Any]:
    """`report` as JSON values."""
    return asdict(report)


def from_json(value: dict[str, Any]) -> Report:
    """The report that `to_json` made into `value`."""
    sites = tuple(
        LeakSite(
            **{
                **site,
                "holders": tuple(site["holders"]),
                "stack": tuple(Call(**call) for call in site["stack"]),
            }
        )
        for site in value["sites"]
    )
    interval = (value["interval"][0], value["interval"][1])
    return Report(**{**value, "sites": sites, "interval": interval, "notes": tuple(value["notes"])})
