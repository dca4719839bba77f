"""Leak verdicts over the fleet: one per service version and leak, with everything that supports it."""

from .verdicts import Verdicts, find

__all__ = ["Verdicts", "find"]
