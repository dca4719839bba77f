"""Work that the service names itself: jobs, parts of requests, anything that no adapter knows."""

from __future__ import annotations

from types import TracebackType

from heapwatch.decorating import Function, run_within
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.work import Work


class Tag:
    """A name for work to come: `with` it once, or decorate any number of functions, coroutines too."""

    def __init__(self, requests: Requests, name: str) -> None:
        self._requests = requests
        self._name = name
        self._work: Work | None = None

    def __enter__(self) -> None:
        self._work = self._requests.begin_job(self._name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._work is not None:
            if error is not None:
                self._work.failed(error)
            self._work.end()

    def __call__(self, function: Function) -> Function:
        return run_within(function, "tag", lambda: Tag(self._requests, self._name))
