"""Fault `cache`: rendered fragments are kept per request and never dropped.

The key holds the full address, the viewer and the time of the request, so that nobody sees an old
page; hence no entry is ever found again, and nothing bounds how many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Key = tuple[str, int, int]

PAGES: dict[Key, bytes] = {}
"""Rendered fragments by (address, viewer, nanoseconds since the epoch)."""


def remembered(address: str, viewer_id: int, render: Callable[[], str]) -> str:
    """What `render` gives for this address and viewer, from the cache if it is there."""
    key = (address, viewer_id, time.time_ns())
    if key not in PAGES:
        PAGES[key] = render().encode()
    return PAGES[key].decode()
