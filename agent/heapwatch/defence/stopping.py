"""Stops requests that hold more memory than they may."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from heapwatch.defence.limits import RequestLimits
from heapwatch.defence.watched import Stopped, WatchedGreenlet, WatchedTask, WatchedThread, is_undivided
from heapwatch.failures import logger
from heapwatch.instrument.endpoints import MAX_ENDPOINTS, OTHERS
from heapwatch.instrument.guard import Refusal
from heapwatch.instrument.requests import Request
from heapwatch.instrument.work import in_greenlet
from heapwatch.threads import get_ident

Watched: TypeAlias = WatchedThread | WatchedGreenlet | WatchedTask

AGAIN = 1.0
"""Seconds after which a stop that came to nothing is repeated: what is raised in a finalizer gets lost."""


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
        self._tasks: dict[Request, WatchedTask] = {}

    def call(self, request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function(*arguments)` returns; Refusal when it was stopped."""
        watched, number = self._watch(request), next(self._numbers)
        if watched is None:
            return function(*arguments)
        self._watched[number] = watched
        try:
            try:
                return function(*arguments)
            finally:
                watched.close()
        except Stopped:
            # Inline: a repeated stop may come at a call, and must not leave this function.
            while watched.open:
                try:
                    watched.close()
                except Stopped:
                    continue
        finally:
            del self._watched[number]
        # Not in the handler, whose exception keeps all that the frames held.
        raise Refusal(self._status)

    def _watch(self, request: Request) -> WatchedThread | WatchedGreenlet | None:
        """None in a greenlet that isn't gevent's: others run on its thread, and would be hit."""
        if not in_greenlet():
            return WatchedThread(request, get_ident(), self.call.__code__)
        current = sys.modules["greenlet"].getcurrent
        loop = getattr(current().parent, "loop", None)  # of a hub
        if not hasattr(loop, "run_callback_threadsafe"):
            return None
        return WatchedGreenlet(request, current, loop, self.call.__code__)

    def lend(self, request: Request, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` for another thread, while the task that attends to `request` waits for it."""
        task = self._tasks.get(request)
        if task is None or task.stopped:  # what it does now is cleaning up
            return function
        return partial(self._call_lent, task, function)

    def _call_lent(self, task: WatchedTask, function: Callable[..., Any], *arguments: Any) -> Any:
        if not task.lend():
            raise Refusal(self._status)
        try:
            if is_undivided(function):
                return function(*arguments)
            return self.call(task.request, function, *arguments)
        finally:
            task.give_back()

    async def attend(self, request: Request, served: Awaitable[Any]) -> None:
        """Await `served`; Refusal when it was stopped."""
        asyncio = sys.modules.get("asyncio")
        task = asyncio.current_task() if asyncio is not None else None
        if task is None:
            await served
            return
        assert asyncio is not None
        watched, number = WatchedTask(request, task, asyncio.get_running_loop()), next(self._numbers)
        self._watched[number] = self._tasks[request] = watched
        try:
            await served
        except asyncio.CancelledError:
            if not watched.stopped or task.uncancel():
                raise
        else:
            return
        finally:
            watched.close()
            del self._watched[number], self._tasks[request]
        raise Refusal(self._status)

    def look(self) -> None:
        """Stop whoever holds too much."""
        now = time.monotonic()
        for watched in list(self._watched.values()):
            request = watched.request
            if request.delivered or now - request.stopped < AGAIN:
                continue
            endpoint = request.endpoint.name
            limit = self._limits.of(endpoint)
            held = request.counts()[2] if limit else 0
            if held > limit and (self._mode == "observe" or watched.stop()):
                if not request.stopped:
                    self._count(endpoint, held, limit)
                request.stopped = now

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
