"""Deliveries to the collector: a bounded queue, retries with backoff, nothing that a service would feel."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from heapwatch_wire.config import ConfigError
from heapwatch_wire.settings import AgentSettings

from heapwatch.compressing import gzip
from heapwatch.dice import Random
from heapwatch.failures import Failures
from heapwatch.post import Connection, NoAnswer, PlainConnection, SecureConnection

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0
LONGEST_RETRY_AFTER = 300.0


@dataclass(frozen=True)
class Delivery:
    """One body for one path. `lost` is called once if it is given up."""

    kind: str
    path: str
    content_type: str
    body: bytes
    lost: Callable[[], None] | None = None


class Unreachable(Exception):
    """The collector can't take anything now; `retry_after` seconds if it said so."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Refused(Exception):
    """The collector won't take this delivery, ever."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Address:
    """Where the collector listens, from the setting `collector`; ConfigError if it's no such address."""

    def __init__(self, collector: str) -> None:
        try:
            parts = urlsplit(collector)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            expected = "an address such as http://127.0.0.1:4040"
            raise ConfigError(f"HEAPWATCH_COLLECTOR={collector!r}: expected {expected}")
        self.text = collector
        self.base = parts.path.rstrip("/")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.secure else 80)

    def connect(self, timeout: float) -> Connection:
        """A connection that isn't opened yet; connecting, and each delivery, may take `timeout` seconds."""
        kind = SecureConnection if self.secure else PlainConnection
        return kind(self.host, self.port, timeout)


class Courier:
    """Sends deliveries in order, oldest first. Only the agent's background thread calls it.

    While the collector can't be reached (no connection, time-out, 408, 429, 5xx) deliveries wait, and beyond
    `settings.queue_size` the oldest is dropped. Pauses double from 1 s to 60 s, each shortened by chance so
    that a fleet doesn't return at once; a longer Retry-After is obeyed.
    """

    def __init__(
        self,
        settings: AgentSettings,
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._address = Address(settings.collector)
        self._headers = {"Content-Encoding": "gzip", "User-Agent": "heapwatch"}
        if settings.token:
            self._headers["Authorization"] = f"Bearer {settings.token}"
        self._timeout = settings.push_timeout
        self._size = settings.queue_size
        self._failures = failures
        self._clock = clock
        self._chance = chance or Random().random
        self._queue: deque[Delivery] = deque()
        self._tries = 0
        self._not_before = 0.0
        self.delivered = 0
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        """Deliveries that wait."""
        return len(self._queue)

    def offer(self, delivery: Delivery) -> None:
        """Queue `delivery`, compressed; the oldest is dropped when there are too many."""
        while len(self._queue) >= self._size:
            self._drop(self._queue.popleft(), "queue_full")
        self._queue.append(replace(delivery, body=gzip(delivery.body)))

    def deliver(self) -> None:
        """Send what waits, unless the collector is to be left alone for now."""
        if self._queue and self._clock() >= self._not_before:
            self._send_all(self._timeout)

    def drain(self, limit: float) -> None:
        """Send what waits at once, within about `limit` seconds, and drop the rest: the process ends."""
        end = self._clock() + limit
        while self._queue and self._clock() < end and self._send_all(end - self._clock(), count=1):
            pass
        while self._queue:
            self._drop(self._queue.popleft(), "exit")

    def _send_all(self, timeout: float, count: int = 0) -> bool:
        """Whether the collector could be reached. `count` limits the deliveries sent; 0 is all."""
        connection = self._address.connect(timeout)
        try:
            for _ in range(count or len(self._queue)):
                self._send_first(connection)
        except Unreachable as error:
            self._back_off(error)
            return False
        finally:
            connection.close()
        return True

    def _send_first(self, connection: Connection) -> None:
        delivery = self._queue[0]
        try:
            self._post(connection, delivery)
        except Refused as error:
            self._failures.caught("delivery", error)
            self._drop(self._queue.popleft(), f"status_{error.status}")
        else:
            self._queue.popleft()
            self.delivered += 1
        self._tries = 0

    def _post(self, connection: Connection, delivery: Delivery) -> None:
        url = self._address.text
        headers = {**self._headers, "Content-Type": delivery.content_type}
        try:
            answer = connection.post(self._address.base + delivery.path, delivery.body, headers)
        except (OSError, NoAnswer) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error
            raise Unreachable(f"{url}: {reason or type(error).__name__}") from None
        if answer.status in (408, 429) or answer.status >= 500:
            wait = retry_after(answer.headers.get("retry-after", ""), time.time())
            raise Unreachable(f"{url} answered {answer.status} {answer.reason}", wait)
        if not 200 <= answer.status < 300:
            mend = "; is HEAPWATCH_TOKEN right?" if answer.status in (401, 403) else ""
            raise Refused(answer.status, f"{url} answered {answer.status} {answer.reason}{mend}")

    def _back_off(self, error: Unreachable) -> None:
        self._failures.caught("delivery", error)
        pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0**self._tries) * (0.5 + 0.5 * self._chance())
        self._tries = min(self._tries + 1, 16)
        self._not_before = self._clock() + max(pause, error.retry_after)

    def _drop(self, delivery: Delivery, reason: str) -> None:
        self.dropped[reason] += 1
        if delivery.lost is not None:
            delivery.lost()


def retry_after(text: str, now: float) -> float:
    """Seconds to wait from a Retry-After header (a number or a date), 0 to 300; 0 for nonsense."""
    try:
        seconds = float(text)
    except ValueError:
        # Here and not above: the package email takes a megabyte, and hardly any server sends a date.
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return 0.0
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER) if seconds == seconds else 0.0
