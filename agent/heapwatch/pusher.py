"""What goes to the collector at each push: the profile, the metrics, the suspicions."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

from heapwatch_wire import otlp, push
from heapwatch_wire.evidence import to_json

from heapwatch.delivery import Courier, Delivery
from heapwatch.failures import Failures
from heapwatch.identity import Identity
from heapwatch.leaks.outside import Outside
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
    outside: Outside
    courier: Courier
    failures: Failures

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
        self._evidence(now)

    def _profile(self, now: float) -> None:
        if self.profiles.reason:
            return
        taken = self.profiles.take(now)
        # Sent again after an answer that got lost, it is the same profile by this name.
        name = _uuid()
        body = push.encode(self.identity.profile_labels(), taken.data, name)
        lost = lambda: self.profiles.give_back(taken)  # noqa: E731
        self.courier.offer(Delivery("profile", push.PATH, push.CONTENT_TYPE, body, lost))

    def _metrics(self, now: float) -> None:
        points = self.telemetry.points()
        body = otlp.encode(self.identity.resource(), points, self.identity.started, now)
        self.courier.offer(Delivery("metrics", otlp.PATH, otlp.CONTENT_TYPE, body))

    def _evidence(self, now: float) -> None:
        texts = []
        for document in (*self.leaks.documents(), *self.outside.documents(now)):
            with self.failures.guard("evidence"):  # One that can't be written must not cost the others.
                texts.append(json.dumps(to_json(document), allow_nan=False))
        if texts:
            instance = json.dumps(self.identity.instance)
            body = f'{{"instance": {instance}, "documents": [{", ".join(texts)}]}}'.encode()
            self.courier.offer(Delivery("evidence", EVIDENCE_PATH, "application/json", body))


def _uuid() -> str:
    """A random one (RFC 9562, version 4); the module uuid would load a library for it."""
    octets = bytearray(os.urandom(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    digits = octets.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
