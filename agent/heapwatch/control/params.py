"""What requests may ask for: checks that handlers share. RequestError says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heapwatch.control.protocol import RequestError

if TYPE_CHECKING:
    from heapwatch.agent import Agent


def need_samples(agent: Agent) -> None:
    """Refuse where nothing is sampled."""
    if agent.sampler.reason:
        raise RequestError(f"no samples: {agent.sampler.reason}", "the rest (info, gc, trim) works")


def whole_number(params: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """The parameter `name`, from `low` to `high`."""
    value = params.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise RequestError(f"{name}={value!r:.40}", f"{name} is a whole number from {low} to {high}")
    return value


def seconds(params: Mapping[str, Any], name: str, default: float, longest: float) -> float:
    """The parameter `name`, more than 0 and at most `longest`."""
    value = params.get(name, default)
    if type(value) not in (int, float) or not 0.0 < value <= longest:
        raise RequestError(f"{name}={value!r:.40}", f"{name} is seconds, more than 0 and at most {longest:g}")
    return float(value)
