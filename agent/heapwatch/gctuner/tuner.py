"""The tuner: observes the collector, and when told to, sets it up so that requests don't wait for it."""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

from heapwatch.failures import Failures
from heapwatch.gcstats import GcStats
from heapwatch.gctuner.actions import FREQUENT
from heapwatch.gctuner.controls import Controls, Thresholds
from heapwatch.gctuner.meter import Figures, Meter
from heapwatch.gctuner.model import PAUSE_TARGET, Limits, Plan, Rates, budget, make_plan, young_room
from heapwatch.gctuner.patience import Patience
from heapwatch.gctuner.schedule import Schedule
from heapwatch.gctuner.trial import Trial
from heapwatch.gctuner.versions import OWN_FROZEN, cannot_act
from heapwatch.instrument.inflight import InFlight
from heapwatch.journal import Journal
from heapwatch.sampler import Sampler

OFF, OBSERVE, ACT = "off", "observe", "act"
MODES = (OFF, OBSERVE, ACT)
WINDOW = 10.0
WATCHDOG = 60.0
BACKOFF = 600.0
PRESSURE_CHECK = 1.0
PRESSURE_SPACING = 10.0
LONGEST_SPACING = 600.0
THAW = 3600.0
REFREEZE = 300.0
FREEZE_WAIT = 5.0
WORTH_FREEZING = 4 * PAUSE_TARGET
CHANGED = 0.25
MOSTLY_SHARED = 0.1
"""Part of RSS that is shared with a parent or siblings above which no full collection looks at all of it."""
OURS_NO_MORE = "the service has set the collector up itself"


class Tuner:
    """`tick` from the agent's thread, `boundary` from request threads; a failure of either stands it down.

    Observe: plans are made and noted, nothing is changed. Act: after `warmup` seconds and one window of
    baseline, thresholds are set by `gctuner.model`, collections move to where no request runs, and what
    has survived the warm-up is frozen. What gets worse than the baseline is undone, and tried again after
    BACKOFF seconds, then twice that. Frozen objects are looked at again after THAW seconds, except in a
    forked process that shares their pages: a collection writes to what it looks at, which copies the page.
    """

    def __init__(
        self,
        mode: str,
        limits: Limits,
        warmup: float,
        stats: GcStats,
        controls: Controls,
        in_flight: InFlight,
        sampler: Sampler,
        pressure: Callable[[], str],
        failures: Failures,
        rss: Callable[[], int],
        shared: Callable[[], int],
        window: float = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode = mode
        self.limits = limits
        self.journal = Journal("gc tuner", FREQUENT)
        self.plan: Plan | None = None
        self.rates: Rates | None = None
        self.stats, self._controls, self._in_flight = stats, controls, in_flight
        self._pressure, self._failures, self._rss, self._shared = pressure, failures, rss, shared
        self._window, self._clock = window, clock
        self._meter = Meter(stats, in_flight, sampler, rss, clock)
        self._patience = Patience()
        self._schedule = Schedule(stats, controls, in_flight, self.journal, self._patience, clock)
        self._lock = allocate_lock()
        self._trial: Trial | None = None
        self._refusal = cannot_act()
        self._may_act_from = clock() + warmup
        self._backoff = BACKOFF
        self._beat = clock()
        self._froze_at: float | None = None
        self._freeze_since = 0.0
        self._inherited = controls.count_frozen() > OWN_FROZEN
        self._next_pressure_check = 0.0
        self._next_pressure = 0.0
        self._pressure_spacing = PRESSURE_SPACING
        self._live_before = 0.0

    @property
    def acting(self) -> bool:
        """Whether the collector is set up our way now."""
        return self._trial is not None

    @property
    def freezes_children(self) -> bool:
        """Whether what a forked child inherits should be frozen in it, so that its pages stay shared."""
        return self.mode == ACT and not self._refusal

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as they are."""
        return self._controls.current

    @property
    def frozen(self) -> int:
        """Objects that are known to be frozen."""
        return self._controls.frozen

    def start(self) -> None:
        """Begin to hear of request boundaries."""
        self._in_flight.on_boundary = self.boundary

    def stop(self) -> None:
        """Give everything back; safe at any time, from any thread."""
        self._in_flight.on_boundary = None
        with self._lock:
            self.mode = OFF
            self._stand_down("restore", "the agent stops")

    def freeze(self) -> None:
        """Freeze what lives now, without collecting first."""
        with self._lock:
            self._controls.freeze()
            self._froze_at = self._froze_at or self._clock()
            self._inherited = True

    def set_mode(self, mode: str) -> None:
        """Change to one of MODES. Leaving "act" gives everything back; entering it needs one window first."""
        with self._lock:
            if mode != ACT:
                self._stand_down("restore", f"mode {mode} was asked for")
            elif self.mode != ACT:
                self._may_act_from = self._clock()
                self._meter.turn()
            self.mode = mode

    def tick(self, now: float) -> None:
        """Called several times per second; what it raises has stood the tuner down before."""
        with self._lock:
            self._beat = self._clock()
            if self.mode == OFF:
                return
            try:
                self._tick()
            except Exception:
                self._stand_down("restore", "the tuner failed")
                self.mode = OBSERVE
                raise

    def boundary(self, running: int) -> None:
        """A response is out, `running` requests run still. Never raises or waits for another thread."""
        if self.mode != OFF:
            self._patience.ended(running)
        if self._trial is None or not self._lock.acquire(False):
            return
        try:
            if self._clock() - self._beat > WATCHDOG:
                self._stand_down("restore", "the agent's thread is silent")
            elif self._wants_freeze() and self._may_freeze(running):
                self._freeze()
            else:
                self._schedule.at_boundary(running)
        except Exception as error:
            self._stand_down("restore", "the tuner failed")
            self._failures.caught("gc tuner", error)
        finally:
            self._lock.release()

    def status(self) -> dict[str, Any]:
        """Mode, plan, rates and actions as JSON values; seconds, bytes, objects per second."""
        rates, plan = self.rates, self.plan
        return {
            "mode": self.mode,
            "acting": self.acting,
            "waits": self._waits(),
            "thresholds_planned": list(plan.thresholds) if plan else None,
            "waiting_pays": self._patience.pays,
            "stopped_share": self._patience.stopped_share,
            "full_interval": plan.full_interval if plan else None,
            "rates": vars(rates) if rates else None,
            "uncollected_limit": budget(rates.rss, self.limits) if rates else self.limits.uncollected,
            "actions": self.journal.totals(),
            "recent": self.journal.recent(),
        }

    def _waits(self) -> str:
        """Why mode "act" doesn't act now; "" when it does."""
        if self.mode != ACT or self.acting:
            return ""
        if self._refusal:
            return self._refusal
        if self._controls.disturbed:
            return OURS_NO_MORE
        seconds = max(0.0, self._may_act_from - self._clock())
        return f"{seconds:.0f} s to go, then {self._window:.0f} s to see how it is without"

    def _tick(self) -> None:
        self._watch_pressure()
        if self._trial is not None:
            if self._controls.disturbed:
                self._give_way()
                return
            if self._wants_freeze() and not self._in_flight.running:
                self._freeze()
            self._schedule.when_idle()
        if self._meter.age() >= self._window:
            self._review()

    def _review(self) -> None:
        rates, figures = self._meter.turn()
        self._watch_patience(rates)
        plan = make_plan(rates, self._controls.natural, self.limits, self._patience.pays)
        self.rates = rates
        if self._trial is not None:
            worse = self._trial.verdict(figures)
            if worse:
                self._undo(worse)
                return
        if self.mode == OBSERVE:
            self._say(plan)
        elif self._trial is not None or self._ready():
            self._follow(plan, figures)

    def _watch_patience(self, rates: Rates) -> None:
        patience = self._patience
        patience.room = young_room(rates, self._controls.natural, self.limits)
        patience.per_request = rates.per_request or patience.per_request
        patience.judge()

    def _ready(self) -> bool:
        began = self._clock() - self._window
        return not self._refusal and not self._controls.disturbed and began >= self._may_act_from

    def _say(self, plan: Plan) -> None:
        if self.plan is None or _differs(plan, self.plan):
            self.plan = plan
            self._note_thresholds(OBSERVE, plan)

    def _follow(self, plan: Plan, figures: Figures) -> None:
        if self._trial is None:
            self._trial = Trial(figures)
            self._live_before = self._meter.live_bytes()
            self._schedule.last_full = self._clock()
        elif self.plan is not None and not _differs(plan, self.plan):
            return
        self.plan = plan
        self._note_thresholds(ACT, plan)
        self._controls.hold(plan.thresholds)
        self._schedule.plan(plan)

    def _note_thresholds(self, mode: str, plan: Plan) -> None:
        rates = self.rates
        reason = "" if rates is None else f"survival {rates.survival:.1%}, {rates.allocated:.0f} objects/s"
        if not self._patience.pays:
            reason += f", no gaps: waiting for them would stop {self._patience.stopped_share:.1%} of requests"
        after = f"{plan.thresholds}, full every {plan.full_interval:.1f} s"
        self.journal.note("thresholds", mode, reason, str(self._controls.current), after)

    def _undo(self, reason: str) -> None:
        self._stand_down("undo", reason)
        self._may_act_from = self._clock() + self._backoff
        self._backoff *= 2

    def _stand_down(self, kind: str, reason: str) -> None:
        before = str(self._controls.current)
        self._trial = None
        self._schedule.plan(None)
        if self._froze_at is not None:
            self._froze_at = None
            self._thaw()
        if self._controls.restore():
            self.journal.note(kind, ACT, reason, before, str(self._controls.current))

    def _give_way(self) -> None:
        ours = str(self.plan.thresholds) if self.plan else ""
        self._stand_down("restore", OURS_NO_MORE)
        self.mode = OBSERVE
        self.journal.note("restore", ACT, OURS_NO_MORE, ours, str(self._controls.current))

    def _wants_freeze(self) -> bool:
        if not self._in_flight.begun:
            return False
        if self._froze_at is None:
            return True
        age = self._clock() - self._froze_at
        return age > THAW or (age > REFREEZE and self.stats.last_full > WORTH_FREEZING)

    def _may_freeze(self, running: int) -> bool:
        """Now if no request runs; in a process that is never without one, after FREEZE_WAIT seconds."""
        if not running:
            return True
        self._freeze_since = self._freeze_since or self._clock()
        return self._clock() - self._freeze_since > FREEZE_WAIT

    def _freeze(self) -> None:
        self._freeze_since = 0.0
        before, held = self._rss(), self._controls.frozen
        if self._is_shared():
            freed, seconds = self._schedule.collect_young()
        else:
            if self._froze_at is not None and self._clock() - self._froze_at > THAW:
                self._thaw()
            freed, seconds = self._schedule.collect_all()
        frozen = self._controls.freeze()
        self._froze_at = self._clock()
        self.journal.note(
            "freeze",
            ACT,
            "what lives now is taken for long-lived",
            f"{held} objects frozen, rss {before}",
            f"{frozen} frozen, {freed} freed in {seconds * 1e3:.0f} ms, rss {self._rss()}",
        )
        if self._trial is not None:
            self._trial.excuse()

    def _is_shared(self) -> bool:
        # What was frozen already is out of sight: collections of the rest copy little.
        return not self._inherited and self._shared() > MOSTLY_SHARED * self._rss()

    def _thaw(self) -> None:
        # What was frozen before is shared with other processes: looking at it would copy its pages.
        if not self._inherited:
            self._controls.unfreeze()
            self.journal.note("unfreeze", ACT, "frozen objects are looked at again", "frozen", "not frozen")

    def _watch_pressure(self) -> None:
        now = self._clock()
        if now < self._next_pressure_check:
            return
        self._next_pressure_check = now + PRESSURE_CHECK
        if self._trial is not None and self.rates is not None:
            self._watch_bytes(self.rates)
        reason = self._pressure() if now >= self._next_pressure else ""
        if reason:
            self._relieve(reason)
            self._next_pressure = self._clock() + self._pressure_spacing

    def _watch_bytes(self, rates: Rates) -> None:
        live = self._meter.live_bytes()
        if self._schedule.last_full > self._clock() - PRESSURE_CHECK:
            self._live_before = live
        elif live - self._live_before > budget(rates.rss, self.limits):
            self._schedule.bytes_due = True
            self._live_before = live

    def _relieve(self, reason: str) -> None:
        before = self._rss()
        if self.mode != ACT or self._refusal:
            self.journal.note("pressure", OBSERVE, reason, f"rss {before}", "a full collection")
            self._pressure_spacing = LONGEST_SPACING
            return
        if self._is_shared():
            self.journal.note(
                "pressure", ACT, reason, f"rss {before}", "only young objects: the rest is shared"
            )
            self._schedule.collect_young()
            self._pressure_spacing = LONGEST_SPACING
            return
        if self._froze_at is not None:
            self._thaw()
        freed, seconds = self._schedule.collect_all()
        if self._froze_at is not None:
            self._controls.freeze()
        after = self._rss()
        self.journal.note(
            "pressure", ACT, reason, f"rss {before}", f"rss {after}, {freed} freed in {seconds * 1e3:.0f} ms"
        )
        helped = before - after > before // 100
        wider = max(seconds * 20, min(LONGEST_SPACING, 2 * self._pressure_spacing))
        self._pressure_spacing = PRESSURE_SPACING if helped else wider


def _differs(plan: Plan, other: Plan) -> bool:
    pairs = zip((*plan.thresholds, plan.full_interval), (*other.thresholds, other.full_interval), strict=True)
    return any(abs(new - old) > CHANGED * old for new, old in pairs)
