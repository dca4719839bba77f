"""Random numbers that the host's seed doesn't decide, without the 80 KB that the module `random` takes."""

from __future__ import annotations

from _random import Random

__all__ = ["Random"]
