"""What differs between CPythons, as far as tuning the collector goes.

- 3.11 collects in the middle of an allocation, 3.12 and later at the next check between two instructions.
  So after `gc.set_threshold` a collection that was due already may still come, one at most.
- Three generations and thresholds (700, 10, 10) on 3.11 and 3.12, (2000, 10, 10) on 3.13. All three leave the
  oldest generation alone until what waits to join it is a quarter of what is in it.
- `gc.freeze` and `gc.unfreeze` link lists and take microseconds; `gc.get_freeze_count` walks the list (some
  10 ns per object), so it is for people who ask and not for a metric.
- 3.12 starts with a few hundred objects frozen that are its own; 3.11 and 3.13 with none.
- 3.14 collects the old generation in increments: the young threshold there paces those too, and a collection
  of a generation means another thing.
- Free-threaded builds have one generation, and stop all threads.
"""

from __future__ import annotations

import sys

INCREMENTAL_SINCE = (3, 14)
OWN_FROZEN = 2000
"""More frozen objects than an interpreter has by itself."""


def cannot_act(version: tuple[int, int] = sys.version_info[:2], free_threaded: bool | None = None) -> str:
    """Why this interpreter's collector is only observed; "" when it can be tuned."""
    if free_threaded is None:
        free_threaded = "t" in sys.abiflags
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} has a collector of its own kind"
    if free_threaded:
        return "a free-threaded build has one generation and stops all threads"
    if version >= INCREMENTAL_SINCE:
        return f"CPython {version[0]}.{version[1]} collects in increments"
    return ""
