"""What the agent keeps about requests: the thread's label while one runs, and durations when it ends."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from heapwatch_wire.metrics import DURATION_BUCKETS

from heapwatch.instrument.inflight import InFlight
from heapwatch.sampler import Sampler
from heapwatch.threads import new_rlock

MAX_ROUTES = 1000
OTHER = "_OTHER"
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}


class RequestKey(NamedTuple):
    """Method, route template ("" when unknown) and status code of requests."""

    method: str
    route: str
    status: int


@dataclass
class Durations:
    """Counts of DURATION_BUCKETS and one more, and the sum in seconds."""

    counts: list[int]
    sum: float = 0.0


class Requests:
    """Labels threads and collects durations, for as long as the process lives.

    The lock is re-entrant: a garbage collection inside it may close a forgotten response, which ends
    a request.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.in_flight = InFlight()
        self.reset(sampler)

    def reset(self, sampler: Sampler) -> None:
        """Forget all durations, label with `sampler`, and renew the lock, which a fork may leave taken."""
        self._sampler = sampler
        self._lock = new_rlock()
        self._durations: dict[RequestKey, Durations] = {}
        self.in_flight.clear()

    def begin(self, method: str) -> Request:
        """A request that starts on this thread."""
        return Request(self, method if method in _METHODS else OTHER)

    def durations(self) -> dict[RequestKey, Durations]:
        """A copy of what was collected so far."""
        with self._lock:
            return {key: Durations(list(d.counts), d.sum) for key, d in self._durations.items()}

    def label(self, name: str) -> int:
        """Name what this thread works on; returns the label before."""
        return self._sampler.set_label(self._sampler.labels.intern(name))

    def restore(self, label: int) -> None:
        """Give this thread an earlier label."""
        self._sampler.set_label(label)

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = RequestKey(method, route, status)
        with self._lock:
            found = self._durations.get(key)
            if found is None:
                if len(self._durations) >= MAX_ROUTES:
                    key = RequestKey(OTHER, "", 0)
                found = self._durations.setdefault(key, Durations([0] * (len(DURATION_BUCKETS) + 1)))
            found.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
            found.sum += seconds


class Request:
    """A request that runs. `matched` when the route is known; `end` once, later calls do nothing."""

    __slots__ = ("_before", "_began", "_in_flight", "_method", "_number", "_requests", "_route", "status")

    def __init__(self, requests: Requests, method: str) -> None:
        self._requests: Requests | None = requests
        self._method = method
        self._route = ""
        self.status = 500
        self._in_flight = requests.in_flight
        self._number = self._in_flight.enter()
        self._before = requests.label(method)
        self._began = time.perf_counter()

    def matched(self, route: str) -> None:
        """The request belongs to the route template `route`, such as "/p/<int:id>"."""
        if self._requests is not None:
            self._route = route
            self._requests.label(f"{self._method} {route}")

    def end(self) -> None:
        """The response is out, or failed."""
        requests, self._requests = self._requests, None
        if requests is not None:
            requests.restore(self._before)
            requests.record(self._method, self._route, self.status, time.perf_counter() - self._began)
            self._in_flight.leave(self._number)

    def sent(self) -> None:
        """The server has sent the response: `end`, and a moment at which work delays no client."""
        self.end()
        self._in_flight.boundary()

    def __del__(self) -> None:
        # A server that forgets a response must not leave a request running for ever.
        if self._requests is not None:
            self._in_flight.leave(self._number)
