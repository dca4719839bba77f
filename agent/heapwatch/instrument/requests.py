"""What the agent keeps about requests, tasks and jobs, from their begin to the delivery."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from heapwatch.dice import Random
from heapwatch.gcstats import GcStats
from heapwatch.instrument.distribution import Trace
from heapwatch.instrument.endpoints import Ended, Endpoint, Endpoints, Kind, Totals
from heapwatch.instrument.guard import Guard
from heapwatch.instrument.inflight import InFlight
from heapwatch.instrument.work import Work
from heapwatch.sampler import Sampler

OTHER = "_OTHER"
OBSERVATIONS = 10_000
MAX_KNOWN = 2000
_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}


class Known(NamedTuple):
    """An endpoint and the label of its samples."""

    endpoint: Endpoint
    label: int


class Observation(NamedTuple):
    """A request that has ended."""

    endpoint: Endpoint
    ended: Ended


class Requests:
    """Begins pieces of work and collects what they came to, for as long as the process lives.

    `observations` is None unless somebody wants to hear of each single request; then it keeps the last ones.
    `guard` is None unless requests may be refused or stopped. `serving`: the process has got HTTP requests.
    `cpu_share` of the pieces of work, by `chance`, have their CPU time measured: two system calls or more.
    """

    def __init__(self, sampler: Sampler, gc: GcStats | None = None) -> None:
        self.in_flight = InFlight()
        self.gc = GcStats() if gc is None else gc
        self.observations: deque[Observation] | None = None
        self.chance = Random().random
        self.cpu_share = 1.0
        self.guard: Guard | None = None
        self.reset(sampler)

    def reset(self, sampler: Sampler) -> None:
        """Forget all that was counted, as in a child after fork, and label with `sampler`."""
        self._labels = sampler.labels
        self._endpoints = Endpoints()
        self._known: dict[tuple[Kind, str, str], Known] = {}
        self.observations = None
        self.guard = None
        self.serving = False
        self.in_flight.clear()

    def find(self, kind: Kind, name: str, route: str = "") -> Known:
        """The endpoint of a method and a route, or of a task's or job's name, and its label."""
        known = self._known.get((kind, name, route))
        if known is None:
            whole = f"{name} {route}" if route else name
            endpoint = Endpoint(whole, kind, name, route) if kind == "request" else Endpoint(whole, kind)
            known = Known(endpoint, self._labels.intern(whole))
            if len(self._known) < MAX_KNOWN:
                self._known[kind, name, route] = known
        return known

    def begin(self, method: str, scheme: str = "http") -> Request:
        """An HTTP request that starts in this context."""
        self.serving = True
        request = Request(self, method if method in _METHODS else OTHER)
        request.scheme = scheme
        return request

    def begin_connection(self) -> Request:
        """A WebSocket that opens in this context."""
        return Request(self, "WEBSOCKET", "task", "success")

    def begin_task(self, name: str) -> Work:
        """A task of a queue that starts in this context, such as "task shop.resize"."""
        return Work(self, self.find("task", name), "failure")

    def begin_job(self, name: str) -> Work:
        """A piece of work that the service has named."""
        return Work(self, self.find("job", name), "success")

    def record(self, endpoint: Endpoint, ended: Ended) -> None:
        """Count one that has ended."""
        self._endpoints.record(endpoint, ended)
        observations = self.observations
        if observations is not None:
            observations.append(Observation(endpoint, ended))

    def observe(self) -> deque[Observation]:
        """Keep single requests from now on, at most OBSERVATIONS of them; who reads them takes them out."""
        if self.observations is None:
            self.observations = deque(maxlen=OBSERVATIONS)
        return self.observations

    def totals(self) -> list[Totals]:
        """A copy of what was collected so far, by endpoint."""
        return self._endpoints.copies()

    def settle(self) -> None:
        """Give places in the table of endpoints to the busiest; now and then, not in a request."""
        self._endpoints.settle()


class Request(Work):
    """An HTTP request, or a WebSocket. `matched` when the route is known, `started` when the response is.

    `answering`: the response has begun. `stopped`: when its guard last did that, by time.monotonic(), or 0.
    """

    __slots__ = ("_method", "answering", "prefix", "stopped")

    def __init__(self, requests: Requests, method: str, kind: Kind = "request", status: str = "500") -> None:
        self._method = method
        self.answering = False
        self.stopped = 0.0
        self.prefix = ""  # of the routes that may follow
        # Not by super(), which is a third of what this costs.
        Work.__init__(self, requests, requests.find(kind, method), status)

    def matched(self, route: str) -> None:
        """The request belongs to the route template `route`, such as "/p/<int:id>"."""
        if self._requests is not None:
            self._endpoint, self.label = self._requests.find(self._endpoint.kind, self._method, route)

    def started(self, status: str, trace: Trace | None = None) -> None:
        """The response begins, with this status ("" when it is no number)."""
        self.answering = True
        self.status = status
        self.trace = trace

    @property
    def delivered(self) -> bool:
        """Whether the whole response was sent, where that is told; what runs still delays nobody."""
        return self._seconds > 0

    def sent(self) -> None:
        """The server has sent the response: `end`, and a moment at which work delays no client."""
        self.end()
        if self._in_flight.on_boundary is not None:
            self._in_flight.boundary()


def surrounding_request(work: Work) -> Request | None:
    """The request that `work` is or is a part of."""
    found: Work | None = work
    while found is not None and not isinstance(found, Request):
        found = found.around
    return found
