"""A piece of work that runs: a request, a task of a queue, a tagged job; measured until it ends."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from heapwatch.instrument.cpu import CpuClock
from heapwatch.instrument.distribution import Trace
from heapwatch.instrument.endpoints import Ended, Endpoint
from heapwatch.instrument.statements import Statements
from heapwatch.sampler import NO_LABEL
from heapwatch.scopes import CURRENT, Scope

if TYPE_CHECKING:
    from heapwatch.instrument.guard import Guard
    from heapwatch.instrument.requests import Known, Requests

_NO_REPEATS: dict[str, tuple[int, str]] = {}
_new = tuple.__new__


class Work(Scope):
    """Runs from its making to `end`; calls after that do nothing.

    It is the innermost piece of work of the context that made it, until it ends. CPU time is measured of some
    by chance, and never under gevent, where other greenlets run on the thread meanwhile.
    """

    __slots__ = (
        "_around",
        "_before",
        "_began",
        "_clock",
        "_endpoint",
        "_gc_began",
        "_in_flight",
        "_number",
        "_requests",
        "_seconds",
        "_statements",
        "_template_depth",
        "_template_seconds",
        "error",
        "scheme",
        "status",
        "trace",
    )

    def __init__(self, requests: Requests, known: Known, status: str) -> None:
        self._requests: Requests | None = None  # until it runs, for __del__
        self._endpoint, self.label = known
        self.status = status
        self.error = self.scheme = ""
        self.trace: Trace | None = None
        self._statements: Statements | None = None
        self._template_depth = 0
        self._template_seconds = 0.0
        self._before = CURRENT.get()
        # A request is part of no other, even where a server starts the next one from within the one before.
        self._around = None if known.endpoint.kind == "request" else current()
        self._in_flight = requests.in_flight
        self._number = self._in_flight.enter() if self._around is None else 0
        self.open(self._around)
        CURRENT.set(self)
        self._seconds = 0.0
        self._clock = CpuClock() if requests.chance() < requests.cpu_share and not in_greenlet() else None
        self._gc_began = requests.gc.seconds
        self._began = time.monotonic()
        self._requests = requests

    @property
    def endpoint(self) -> Endpoint:
        """Whose work it is, as far as that is known yet."""
        return self._endpoint

    @property
    def around(self) -> Work | None:
        """The work that it is a part of, while it runs."""
        return self._around

    @property
    def guard(self) -> Guard | None:
        """Who may refuse or stop requests now."""
        return None if self._requests is None else self._requests.guard

    @property
    def cpu(self) -> CpuClock | None:
        """To be told of steps of a task, and of what other threads spend; None: nobody wants to know."""
        return self._clock

    def executed(self, statement: str, seconds: float) -> None:
        """A statement was sent to a database, and answered after `seconds`."""
        if self._statements is None:
            self._statements = Statements()
        self._statements.add(statement, seconds)

    def template_began(self) -> None:
        """A template is rendered, perhaps inside another."""
        if not self._template_depth:
            self._template_seconds -= time.perf_counter()
        self._template_depth += 1

    def template_ended(self) -> None:
        """The same template is finished."""
        self._template_depth -= 1
        if not self._template_depth:
            self._template_seconds += time.perf_counter()

    def answered(self) -> None:
        """Whoever waits for the work has the answer: its duration ends, though more may be done."""
        self._seconds = time.monotonic() - self._began

    def failed(self, error: BaseException) -> None:
        """`error` came out of the work."""
        self.error = type(error).__qualname__
        if self._endpoint.kind != "request":
            self.status = "failure"

    def end(self) -> None:
        """The work is done, or failed: count it."""
        requests, self._requests = self._requests, None
        if requests is None:
            return
        now = time.monotonic()
        before = self._before
        while isinstance(before, Work) and before._requests is None:  # it ended first
            before = before._before
        if CURRENT.get() is self:
            CURRENT.set(before)
            before = None
        # Where it stays the current one, of another context or until work inside it ends, it labels nothing.
        self.label = NO_LABEL
        requests.record(self._endpoint, self._sum_up(now, requests.gc.seconds))
        self._around, self._before = None, before
        if self._number:
            self._in_flight.leave(self._number, now)

    def _sum_up(self, now: float, gc_now: float) -> Ended:
        seconds = self._seconds or now - self._began
        done, clock = self._statements, self._clock
        cpu = None if clock is None else clock.seconds()
        if done is not None and self._around is not None:
            self._around.take_over(done)
        statements = (0, 0.0, _NO_REPEATS) if done is None else (done.count, done.seconds, done.repeats)
        memory = self.close()
        # A quarter of the time that Ended(...) takes.
        return _new(
            Ended,
            (
                *(self.status, self.error, self.scheme, seconds, cpu, gc_now - self._gc_began),
                *memory,
                *statements,
                self._template_seconds,
                self.trace,
            ),
        )

    def take_over(self, statements: Statements) -> None:
        """Statements of work that was done inside this one."""
        if self._statements is None:
            self._statements = Statements()
        self._statements.merge(statements)

    def __del__(self) -> None:
        # A server that forgets a response must not leave a request running for ever.
        if self._requests is not None and self._number:
            self._in_flight.leave(self._number, time.monotonic())


def current() -> Work | None:
    """The innermost piece of work of this context that runs."""
    scope = CURRENT.get()
    return scope if isinstance(scope, Work) and scope._requests is not None else None


def in_greenlet() -> bool:
    """Whether other pieces of work run on this thread meanwhile, by gevent or the like."""
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None
