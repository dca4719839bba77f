"""Whether it pays to wait for a moment at which no request runs, and how long."""

from __future__ import annotations

STOPPED_SHARE = 0.0075
"""Part of the requests that collections may stop: fewer than 1 in 100, so the 99th percentile is no pause."""
RETURN_SHARE = 0.005
HOPELESS_SHARE = 0.04
"""Of ENOUGH requests: so many stopped are a judgement before these have ended."""
ENOUGH = 1000
"""Requests that a judgement takes."""
FROM_SHARE, TO_SHARE = 0.3, 0.75
"""Parts of the young generation's threshold that are filled when a collection may stop a request, and when it
may stop as many as usually run."""
SLOWNESS = 1 / 64


class Patience:
    """How full the young generation gets before a collection stops requests that run.

    A collection takes time for each object that waits, whenever it comes, and all requests that run wait for
    it. So the fewer run, the earlier it may come: at once where none does; and the more of them, the longer a
    better moment is waited for. Where gaps come before the young generation is full, hardly any request is
    ever stopped. Where they don't, waiting makes one long pause of several short ones: their mean gets
    better, their 99th percentile worse. Which of both it is, is counted, whether we wait or not: the requests
    that run when collections come which wait until `room` objects are there.
    """

    def __init__(self) -> None:
        self.pays = True
        """Whether to wait."""
        self.stopped_share = 0.0
        """Requests stopped for each that ended, at the last judgement: what waiting costs."""
        self.room = 0
        """Objects that may wait in the young generation while we wait; 0 as long as nobody knows."""
        self.per_request = 0.0
        """Objects that a request leaves in it."""
        self._usual = 1.0
        self._waiting = 0.0
        self._ended = self._expected = 0

    def ended(self, running: int) -> None:
        """A request has ended and `running` run still; threads may lose a count of each other's."""
        self._usual += SLOWNESS * (running - self._usual)
        if not self.room:
            return
        self._ended += 1
        self._waiting += self.per_request
        if self._waiting >= self.level(running, self.room, 0):
            self._waiting = 0.0
            self._expected += running

    def level(self, running: int, young: int, natural: int) -> float:
        """Young objects at which a collection may stop `running` requests, where CPython collects by itself
        at `young`. Where none runs, there is no reason to wait for more than the `natural` threshold."""
        if not running:
            return min(natural, FROM_SHARE * young)
        crowd = min(1.0, running / max(1.0, self._usual))
        return young * (FROM_SHARE + (TO_SHARE - FROM_SHARE) * crowd)

    def judge(self) -> bool:
        """Decide anew whether waiting pays, once enough requests have ended; whether that has changed."""
        hopeless = self.pays and self._expected > HOPELESS_SHARE * ENOUGH
        if not hopeless and self._ended < ENOUGH:
            return False
        self.stopped_share = self._expected / self._ended
        self._ended = self._expected = 0
        before, self.pays = self.pays, self.stopped_share <= (STOPPED_SHARE if self.pays else RETURN_SHARE)
        return self.pays != before
