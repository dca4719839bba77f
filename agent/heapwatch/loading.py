"""What it took to load the agent's modules, for its account of itself.

They come before the sampler, which would count them else. Measured by pages, as the kernel counts them: code
objects, classes, what the standard library's modules need that the service had not loaded itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from heapwatch.sampler import Sampler

Loaded = TypeVar("Loaded")


class Loading:
    """`bytes` are those that all calls have left in memory."""

    def __init__(self) -> None:
        self.bytes = 0

    def measure(self, load: Callable[[], Loaded]) -> Loaded:
        """What `load` returns. What other threads take meanwhile counts, too."""
        before = _anonymous()
        loaded = load()
        self.bytes += max(0, _anonymous() - before)
        return loaded


loading = Loading()
"""Of this process, with what its parent had loaded before it forked."""


def own_memory(sampler: Sampler) -> int:
    """Bytes of the agent beside the sampler's tables: modules as measured, objects as `sampler` estimates."""
    return loading.bytes + int(sampler.stats().get("agent_bytes", 0))


def _anonymous() -> int:
    """Resident bytes that are of no file; 0 where the kernel doesn't say."""
    try:
        # Not by pathlib, which is among what is measured.
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            pages = file.read().split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
