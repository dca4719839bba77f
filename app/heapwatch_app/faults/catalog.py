"""The faults and the truth about them, against which a verdict can be judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heapwatch_app.faults import cache, listeners, threadlocal
from heapwatch_app.faults.switches import Switches

_WITH_DATABASE = (
    "GET /", "GET /feed", "GET /explore", "GET /search", "GET /news", "GET /new", "GET /settings",
    "GET /signup", "GET /login", "GET /u/<username>", "GET /p/<int:post_id>",
    "POST /new", "POST /signup", "POST /login", "POST /logout", "POST /settings",
    "POST /u/<username>/follow", "POST /u/<username>/unfollow",
    "POST /p/<int:post_id>/like", "POST /p/<int:post_id>/unlike", "POST /p/<int:post_id>/comments",
    "POST /p/<int:post_id>/delete", "POST /comments/<int:comment_id>/delete",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A leak and where it is.

    `allocator` is the function whose line `statement` (a piece of its source) makes the leaked objects;
    they are of `type` and held below `holder`, a dotted path; `endpoints` are the routes that leak.
    `bytes_per_request` is about what one request to such a route leaves behind.
    """

    name: str
    description: str
    allocator: Callable[..., Any]
    statement: str
    type: str
    holder: str
    endpoints: tuple[str, ...]
    bytes_per_request: int

    @property
    def function(self) -> str:
        """The qualified name of the allocating function."""
        return self.allocator.__qualname__

    @property
    def file(self) -> str:
        """The end of the allocating file's path, from the package on."""
        return self.allocator.__module__.replace(".", "/") + ".py"

    def lines(self) -> tuple[int, ...]:
        """The lines of `file` that make the leaked objects."""
        source, first = inspect.getsourcelines(self.allocator)
        return tuple(first + i for i, text in enumerate(source) if self.statement in text)

    def switch(self, file: Path, *, on: bool) -> None:
        """Switch this fault in all services that look at `file`."""
        Switches(file).set(self.name, on)


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            name="listeners",
            description="Each feed page subscribes to the event bus and never unsubscribes.",
            allocator=listeners.FeedPage.__init__,
            statement="RenderedCard(",
            type="RenderedCard",
            holder="heapwatch_app.events.BUS",
            endpoints=("GET /feed",),
            bytes_per_request=8_000,
        ),
        Fault(
            name="cache",
            description="Rendered grids are cached under a key that no other request has.",
            allocator=cache.remembered,
            statement="render().encode()",
            type="bytes",
            holder="heapwatch_app.faults.cache.PAGES",
            endpoints=("GET /explore", "GET /u/<username>"),
            bytes_per_request=8_500,
        ),
        Fault(
            name="threadlocal",
            description="A trail of database statements per server thread is never emptied.",
            allocator=threadlocal.record,
            statement="TRAIL.records.append(",
            type="str",
            holder="heapwatch_app.faults.threadlocal.TRAIL",
            endpoints=_WITH_DATABASE,
            bytes_per_request=1_700,
        ),
    )
}
