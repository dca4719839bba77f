"""What goes to the collector at each push: the profile, the metrics, the suspicions."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass

from heapwatch_wire import otlp, push
from heapwatch_wire.evidence import to_json

from heapwatch.delivery import Courier, Delivery
from heapwatch.identity import Identity
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.profiles import Profiles
from heapwatch.telemetry import Telemetry

EVIDENCE_PATH = "/api/v1/evidence"


@dataclass(frozen=True)
class Pusher:
    """Makes deliveries and hands them to the courier. `now` is in Unix seconds."""

    identity: Identity
    profiles: Profiles
    telemetry: Telemetry
    leaks: LeakTracker
    courier: Courier

    def push(self, now: float) -> None:
        """Queue one delivery of each kind that there is something to say of, and send what waits."""
        self._queue(now)
        self.courier.deliver()

    def push_last(self, limit: float) -> None:
        """Queue a last time and send within about `limit` seconds; what can't be sent is dropped."""
        self._queue(time.time())
        self.courier.drain(limit)

    def _queue(self, now: float) -> None:
        self._profile(now)
        self._metrics(now)
        self._evidence()

    def _profile(self, now: float) -> None:
        if self.profiles.reason:
            return
        taken = self.profiles.take(now)
        # Sent again after an answer that got lost, it is the same profile by this name.
        name = str(uuid.uuid4())
        body = push.encode(self.identity.profile_labels(), taken.data, name)
        lost = lambda: self.profiles.give_back(taken)  # noqa: E731
        self.courier.offer(Delivery("profile", push.PATH, push.CONTENT_TYPE, body, lost))

    def _metrics(self, now: float) -> None:
        points = self.telemetry.points()
        body = otlp.encode(self.identity.resource(), points, self.identity.started, now)
        self.courier.offer(Delivery("metrics", otlp.PATH, otlp.CONTENT_TYPE, body))

    def _evidence(self) -> None:
        documents = [to_json(document) for document in self.leaks.documents()]
        if documents:
            body = json.dumps({"instance": self.identity.instance, "documents": documents}).encode()
            self.courier.offer(Delivery("evidence", EVIDENCE_PATH, "application/json", body))
