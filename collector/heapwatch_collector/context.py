"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Request
from heapwatch_wire.settings import CollectorSettings
from pyarrow import ArrowException

from heapwatch_collector.errors import Malformed, Refusal
from heapwatch_collector.live import Live
from heapwatch_collector.receive.pprof import Limits
from heapwatch_collector.store.batch import Batch
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.writer import CommitFailed, Overloaded, Writer
from heapwatch_collector.telemetry import Telemetry


@dataclass
class Collector:
    """The running collector: its settings, the store and its writer, and what it knows of the living."""

    settings: CollectorSettings
    store: Store
    writer: Writer
    live: Live
    telemetry: Telemetry

    @classmethod
    def open(cls, settings: CollectorSettings) -> Collector:
        """Open the store and start the writer. Raises StoreError."""
        store = Store(settings.data, settings.retention)
        live, telemetry = Live(), Telemetry()
        writer = Writer(
            store,
            interval=settings.commit_interval,
            pending_limit=settings.pending_limit,
            # Each waiting batch holds a thread; leave the other half to queries.
            full=max(1, settings.threads // 2),
            committed=live.update,
            observe=telemetry.commit,
        )
        telemetry.watch_pending(lambda: writer.pending)
        return cls(settings, store, writer, live, telemetry)

    def close(self) -> None:
        """Commit what waits, then let go of the store."""
        self.writer.close()
        self.store.close()

    @property
    def limits(self) -> Limits:
        return Limits(self.settings.max_body, self.settings.retention)

    def admit(self) -> None:
        """Refuse a delivery before it is read when too much waits already."""
        if self.writer.overloaded:
            raise _too_many()

    def commit(self, batch: Batch, signal: str) -> None:
        """Make `batch` durable.

        Raises Refusal: 400 for values that no column takes, 429 above the pending limit, 503 when the store
        fails.
        """
        try:
            self.writer.submit(batch)
        except (UnicodeEncodeError, OverflowError, ArrowException) as error:
            raise Malformed(f"a value can't be stored: {error}"[:300]) from None
        except Overloaded:
            raise _too_many() from None
        except CommitFailed as error:
            raise Refusal(503, f"not stored: {error}", "send it again later", retry_after=5) from None
        self.telemetry.received(signal)


def _too_many() -> Refusal:
    mend = "send it again after Retry-After seconds, or raise HEAPWATCH_PENDING_LIMIT"
    return Refusal(429, "more waits for the commit than the pending limit allows", mend, retry_after=1)


SIGNALS = {
    "/push.v1.PusherService/Push": "profiles",
    "/ingest": "profiles",
    "/pyroscope/ingest": "profiles",
    "/v1/metrics": "metrics",
    "/api/v1/evidence": "evidence",
    "/api/v1/analyses": "analyses",
}


def signal_of(request: Request) -> str | None:
    """What a request delivers: "profiles", "metrics", "evidence" or "analyses"; None when it only asks."""
    return SIGNALS.get(request.path) if request.method == "POST" else None
