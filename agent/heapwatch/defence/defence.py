"""Looks at the headroom several times a second, and does what the state of it asks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from heapwatch_wire.otlp import Point
from heapwatch_wire.settings import AgentSettings

from heapwatch.defence.agent_check import AgentCheck, answer, weight
from heapwatch.defence.drain import Drain, Phase
from heapwatch.defence.exits import Exit
from heapwatch.defence.family import Family, Member
from heapwatch.defence.gate import Gate
from heapwatch.defence.headroom import Headroom, Reading
from heapwatch.defence.limits import RequestLimits
from heapwatch.defence.points import defence_points
from heapwatch.defence.relief import Relief
from heapwatch.defence.shedding import Refused, Shedding
from heapwatch.defence.states import Level, State, Thresholds
from heapwatch.defence.stopping import Stopping
from heapwatch.failures import Failures, logger
from heapwatch.instrument.requests import Requests
from heapwatch.journal import Journal
from heapwatch.threads import BackgroundThread, Signal

LOOK = 0.25
LOOK_AT_REQUESTS = 0.1
PUBLISH = 1.0
NO_LIMIT = "no limit bounds the memory, so there is nothing to defend: set HEAPWATCH_DEFENCE_LIMIT"
WORTH_LEAVING = 0.05
"""Of the limit: what a worker must have grown by for its end to help."""


class Defence:
    """Runs a thread of its own, since the agent's may wait for a collector. `start` and `stop` may be called
    again; in a forked child a new one is needed, and `forget` of the parent's.

    Mode "observe" changes nothing: it notes, and counts, what "act" would do. A process that has not got an
    HTTP request yet, such as the main process of a server with workers, isn't defended; it may answer the
    agent-check for those that are.
    """

    def __init__(
        self,
        settings: AgentSettings,
        family: Family,
        requests: Requests,
        headroom: Headroom,
        relief: Relief,
        way_out: Callable[[], Exit],
        leave: Callable[[], None],
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode = settings.defence
        self.journal = Journal("defence")
        self.thresholds = Thresholds(settings.defence_soft, settings.defence_shed, settings.defence_drain)
        self.shedding = Shedding(settings.defence_optional, self.mode)
        limits = RequestLimits(settings.request_limit, settings.request_limits)
        self.stopping = Stopping(limits, int(settings.request_limit_status), self.mode) if limits else None
        self._gate = Gate(self.shedding, self.stopping)
        self.reading: Reading | None = None
        self._settings, self._family, self._requests = settings, family, requests
        self._headroom, self._relief, self._way_out, self._leave = headroom, relief, way_out, leave
        self._failures, self._clock = failures, clock
        self._level = Level(self.thresholds, clock)
        self._drain: Drain | None = None
        self._check: AgentCheck | None = None
        if settings.agent_check and self.mode != "off":
            self._check = AgentCheck(settings.agent_check, self._answer)
        self._interval = LOOK if self.stopping is None else LOOK_AT_REQUESTS
        self._thread: BackgroundThread | None = None
        self._asked_to_drain = False
        self._waits_for = ""
        self._first_rss = 0
        self._next_publish = 0.0

    @property
    def acts(self) -> bool:
        """Whether anything is done, not only said."""
        return self.mode == "act"

    @property
    def state(self) -> State:
        """The state; DRAIN only when this worker takes leave itself."""
        return State.DRAIN if self._drain is not None else min(self._level.state, State.SHED)

    @property
    def way_out(self) -> Exit:
        """How this worker would end."""
        return self._way_out()

    @property
    def grace(self) -> float:
        """Seconds for which it would serve on: none where others, to the balancer the same server, serve."""
        return 0.0 if any(not other.draining for other in self._others()) else self._settings.defence_grace

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self._drain is None and not (self.acts and self.shedding.refused is Refused.ALL)

    def start(self) -> None:
        """Begin, unless it is off or has begun."""
        if self.mode != "off":
            self._refuse()
            self._run_thread()

    def stop(self) -> None:
        """End soon; nothing is refused any more."""
        if self._thread is not None:
            self._thread.halt.set()

    def forget(self) -> None:
        """In a forked child: the parent's port is not ours."""
        if self._check is not None:
            self._check.close()

    def drain(self) -> bool:
        """Take leave now, whatever the mode; whether it is not under way already."""
        new = self._drain is None and not self._asked_to_drain
        self._asked_to_drain = True
        self._run_thread()
        return new

    def status(self) -> dict[str, Any]:
        """JSON values: mode, state, bytes used of the limit, what was done lately."""
        reading = self.reading
        return {
            "mode": self.mode,
            "state": self.state.name.lower(),
            "ready": self.ready,
            "used": reading.used if reading else None,
            "limit": reading.limit if reading else None,
            "whose": reading.whose if reading else "",
            "drain": self._drain.phase.value if self._drain else "",
            "waits": self._waits_for,
            "shed": sum(self.shedding.counts.values()),
            "recent": self.journal.recent(),
        }

    def points(self) -> Iterator[Point]:
        """A point of each metric about the defence."""
        return defence_points(self)

    def _run_thread(self) -> None:
        thread = self._thread
        if thread is None or not thread.alive or thread.halt.is_set():
            self._thread = BackgroundThread(self._run)

    def _run(self, halt: Signal) -> None:
        while not halt.is_set():
            with self._failures.guard("defence"):
                self.look()
            if self._check is not None:
                with self._failures.guard("agent-check"):
                    self._check.serve(self._interval)
            if self._check is None or not self._check.listens:
                halt.wait(self._interval)
        if self._requests.guard is self._gate:
            self._requests.guard = None
        if self._check is not None:
            self._check.close()
        if self._drain is None:  # else who answers the balancer shall know that it is gone
            with self._failures.guard("defence"):
                self._family.withdraw(os.getpid())

    def look(self) -> None:
        """Read the headroom and act on it."""
        if self._requests.serving and self.mode != "off":
            self.reading = self._headroom.read()
            if self.reading is None and not self._waits_for:
                self._waits_for = NO_LIMIT
                logger.warning("heapwatch: %s", NO_LIMIT)
        if self.reading is not None:
            self._judge(self.reading)
        if self._asked_to_drain and self._drain is None:
            self._family.take_leave(urgent=True)
            self._begin_drain("asked for")
        if self._drain is not None:
            self._go_on(self._drain)
        if self.stopping is not None:
            self.stopping.look()
        self._refuse()
        self._publish()

    def _judge(self, reading: Reading) -> None:
        self._first_rss = self._first_rss or reading.rss
        before, state = self._level.state, self._level.look(reading.share)
        if state is not before:
            logger.info("heapwatch: defence: %s, was %s: %s", state.name, before.name, reading)
        if state >= State.SOFT and self._drain is None and self._relief.due():
            self._relieve(reading)
            reading = self.reading = self._headroom.read() or reading
        if self.thresholds.state(reading.share) is not State.DRAIN:
            self._waits_for = ""
        elif self._drain is None:
            self._consider_leaving(reading)

    def _relieve(self, reading: Reading) -> None:
        if not self.acts:
            self._relief.postpone()
            self.journal.note("relieve", "observe", str(reading), f"rss {reading.rss}", "less")
            return
        done = self._relief()
        after = f"rss {done.after} in {done.seconds * 1e3:.0f} ms"
        self.journal.note("relieve", "act", str(reading), f"rss {done.before}", after)

    def _consider_leaving(self, reading: Reading) -> None:
        stays = self._why_stay(reading)
        if not stays and not self.acts:
            self._wait("it observes only", "drain", reading, "another worker in its place")
        elif stays:
            self._wait(stays, "stay", reading, "does not drain")
        elif self._family.take_leave(urgent=reading.share >= self.thresholds.critical):
            self._begin_drain(str(reading))
        else:
            self._wait("another worker of the service drains, or has just done so", "stay", reading, "waits")

    def _wait(self, why: str, kind: str, reading: Reading, after: str) -> None:
        if why != self._waits_for:
            self._waits_for = why
            self.journal.note(kind, self.mode, why, f"{reading}, rss {reading.rss >> 20} MiB", after)

    def _why_stay(self, reading: Reading) -> str:
        if self._grown() < WORTH_LEAVING * reading.limit:
            return "this process has hardly grown since its first request: its end would not help"
        if reading.whose == "container":
            # What it said of itself a moment ago may be more than now.
            others = (m for m in self._family.members() if m.pid != os.getpid() and not m.draining)
            larger = next((m for m in others if m.grown > self._grown()), None)
            if larger is not None:
                return f"worker {larger.pid} has grown more"
        return ""

    def _grown(self) -> int:
        return self.reading.rss - self._first_rss if self.reading is not None else 0

    def _begin_drain(self, reason: str) -> None:
        running = self._requests.in_flight.running
        self._drain = Drain(self._way_out(), running, self.grace, self._leave, self._clock)
        self.journal.note("drain", "act", reason, f"serving, {len(running)} requests run", "takes leave")
        self._next_publish = 0.0

    def _go_on(self, drain: Drain) -> None:
        before = drain.phase
        phase = drain.step()
        self._family.hold_leave()
        if phase is before:
            return
        self.journal.note("leave", "act", "time has come", before.value, phase.value)  # the drain counts once
        if phase is Phase.STAYS:
            self._drain, self._asked_to_drain = None, False
            self._family.stay()

    def _refuse(self) -> None:
        critical = self.reading is not None and self.reading.share >= self.thresholds.critical
        self.shedding.leaving = self._drain is not None and self._drain.refuses
        if critical:
            self.shedding.refused = Refused.ALL
        elif self._level.state >= State.SHED:
            self.shedding.refused = Refused.OPTIONAL
        else:
            self.shedding.refused = Refused.NONE
        stops = self.stopping is not None and self.mode != "off"
        decides = stops or self.shedding.leaving or self.shedding.refused is not Refused.NONE
        self._requests.guard = self._gate if decides else None

    def _publish(self) -> None:
        now = self._clock()
        if not self._requests.serving or now < self._next_publish:
            return
        self._next_publish = now + PUBLISH
        self._family.publish(self._member())

    def _member(self) -> Member:
        reading, percent = self.reading, 100
        if reading is not None and self.acts:
            percent = weight(reading.share, self.thresholds.soft, self.thresholds.drain)
        return Member(
            os.getpid(), self._settings.agent_check, self._drain is not None, percent, self._grown()
        )

    def _others(self) -> list[Member]:
        """Those who are one server to the balancer with this process."""
        address, own = self._settings.agent_check, os.getpid()
        return [m for m in self._family.members() if address and m.check == address and m.pid != own]

    def _answer(self) -> bytes:
        members = self._others()
        if self._requests.serving:
            members.append(self._member())
        return answer(members, not members and self._family.bereft(self._settings.agent_check))
