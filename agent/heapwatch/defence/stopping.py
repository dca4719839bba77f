"""Stops requests that hold more memory than they may."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from heapwatch.defence.limits import RequestLimits
from heapwatch.defence.watched import Stopped, WatchedTask, WatchedThread
from heapwatch.failures import logger
from heapwatch.instrument.endpoints import MAX_ENDPOINTS, OTHERS
from heapwatch.instrument.guard import Refusal
from heapwatch.instrument.requests import Request
from heapwatch.instrument.work import in_greenlet
from heapwatch.threads import get_ident

Watched: TypeAlias = WatchedThread | WatchedTask


class Stopping:
    """Runs applications so that `look`, called by another thread, can stop those over their limit.

    What a request holds is the sampler's estimate of what it has allocated and not freed.
    `counts` by endpoint and mode. In mode "observe" nothing is stopped.
    """

    def __init__(self, limits: RequestLimits, status: int, mode: str) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._limits = limits
        self._status = status
        self._mode = mode
        self._numbers = itertools.count()
        self._watched: dict[int, Watched] = {}
        self._observed: set[int] = set()

    def call(self, request: Request, application: Callable[..., Any], *arguments: Any) -> Any:
        """What `application(*arguments)` returns; Refusal when it was stopped."""
        if in_greenlet():  # others run on this thread, and would be hit
            return application(*arguments)
        watched, number = WatchedThread(request, get_ident(), self.call.__code__), next(self._numbers)
        self._watched[number] = watched
        try:
            try:
                return application(*arguments)
            finally:
                watched.close()
        except Stopped:
            # Inline: a repeated stop may come at a call, and must not leave this function.
            while watched.open:
                try:
                    watched.close()
                except Stopped:
                    continue
            raise Refusal(self._status) from None
        finally:
            del self._watched[number]

    async def attend(self, request: Request, served: Awaitable[Any]) -> None:
        """Await `served`; Refusal when it was stopped."""
        asyncio = sys.modules.get("asyncio")
        task = asyncio.current_task() if asyncio is not None else None
        if task is None:
            await served
            return
        assert asyncio is not None
        watched, number = WatchedTask(request, task, asyncio.get_running_loop()), next(self._numbers)
        self._watched[number] = watched
        try:
            await served
        except asyncio.CancelledError:
            if not watched.stopped or request.answering or task.uncancel():
                raise
            raise Refusal(self._status) from None
        finally:
            watched.close()
            del self._watched[number]

    def look(self) -> None:
        """Stop whoever holds too much."""
        running = list(self._watched.items())
        self._observed &= {number for number, _ in running}
        for number, watched in running:
            endpoint = watched.request.endpoint.name
            limit = self._limits.of(endpoint)
            held = watched.request.counts()[2] if limit else 0
            if held > limit:
                self._stop(number, watched, endpoint, held, limit)

    def _stop(self, number: int, watched: Watched, endpoint: str, held: float, limit: int) -> None:
        if self._mode == "observe":
            first = number not in self._observed
            self._observed.add(number)
        else:
            first = watched.stop()
        if first:
            self._count(endpoint, held, limit)

    def _count(self, endpoint: str, held: float, limit: int) -> None:
        known = len(self.counts) < MAX_ENDPOINTS or (endpoint, self._mode) in self.counts
        name = endpoint if known else OTHERS["request"]
        self.counts[name, self._mode] += 1
        if self.counts[name, self._mode] == 1:
            did = "would be stopped" if self._mode == "observe" else "was stopped"
            logger.warning(
                "heapwatch: a request of %s %s: it held %.1f MiB, its limit is %.1f MiB (said once)",
                name,
                did,
                held / (1 << 20),
                limit / (1 << 20),
            )
