"""The analyzer at work: look at each service, publish, show, wait."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TextIO

from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import to_json
from heapwatch_wire.settings import AnalyzerSettings

from .client import Collector, CollectorError, Unavailable
from .history import NOTHING, SlowTier
from .outbox import Outbox
from .report import analyze
from .text import progress, render
from .units import duration

Show = Callable[[Analysis], None]


class Loop:
    """Analyzes `service` (None: every one) of `collector` and hands each analysis to `show`."""

    def __init__(
        self, settings: AnalyzerSettings, collector: Collector, show: Show, service: str | None
    ) -> None:
        self._settings = settings
        self._collector = collector
        self._show = show
        self._service = service
        self._slow = SlowTier(settings, collector)
        self._outbox = Outbox(collector)
        self._stopped = threading.Event()
        self._complaint = ""

    def forever(self) -> None:
        """Look at each interval until `stop`. A silent collector is told once and asked again."""
        interval = self._settings.analyze_interval
        print(
            f"analyzing {self._settings.collector} every {interval:g} s; Ctrl-C stops",
            file=sys.stderr,
            flush=True,
        )
        while not self._stopped.is_set():
            begun = time.monotonic()
            self._look_safely()
            spent = time.monotonic() - begun
            # However slow looks are, they never take more than half the time.
            self._stopped.wait(max(interval - spent, spent))

    def stop(self) -> None:
        """End `forever` after the current look."""
        self._stopped.set()

    def _look_safely(self) -> None:
        # Whatever we fail on must not end the watch.
        try:
            self.look()
        except Exception:
            traceback.print_exc()

    def look(self) -> bool:
        """Analyze once; False when there was nothing to analyze, or the collector didn't take it all.

        What it takes later is sent at the next look, unless there is a newer analysis by then.
        """
        analyzed = 0
        complaints: list[str] = []
        try:
            for service in [self._service] if self._service else self._collector.services():
                analyzed += self._analyze_safely(service, complaints)
                complaints += self._outbox.send()
        except CollectorError as error:
            complaints.append(str(error))
        if not analyzed and not complaints:
            complaints.append(self._nothing())
        return self._complain("; ".join(complaints))

    def _analyze_safely(self, service: str, complaints: list[str]) -> int:
        """As `_analyze`; one service whose data can't be had, or that we fail on, doesn't end the look at the
        others. Raises Unavailable."""
        try:
            return self._analyze(service)
        except Unavailable:
            raise
        except CollectorError as error:
            complaints.append(str(error))
        except Exception as error:
            traceback.print_exc()
            complaints.append(f"{service} can't be analyzed: {type(error).__name__}: {error}")
        return 0

    def _analyze(self, service: str) -> int:
        """The number of versions of `service` that were analyzed."""
        now = time.time()
        observed = self._collector.observe(service, now, self._settings.window)
        past = self._slow.of(service, now) if observed else {}
        for seen in observed:
            analysis = analyze(seen, self._settings, past.get(seen.version, NOTHING))
            self._outbox.add(analysis)
            self._show(analysis)
        return len(observed)

    def _nothing(self) -> str:
        what = f"service {self._service!r}" if self._service else "any service"
        return (
            f"nothing was seen of {what} in the last {duration(self._settings.window)}; "
            f"point its agent at {self._settings.collector} (HEAPWATCH_COLLECTOR)"
        )

    def _complain(self, complaint: str) -> bool:
        """Say `complaint`, unless it was the last thing said; whether there is none."""
        if complaint and complaint != self._complaint:
            print(f"heapwatch analyze: {complaint}", file=sys.stderr, flush=True)
        self._complaint = complaint
        return not complaint


class ShowJson:
    """Prints each analysis as one line of JSON."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, analysis: Analysis) -> None:
        print(json.dumps(to_json(analysis)), file=self._out, flush=True)


class ShowText:
    """Prints an analysis in full when its status or its leaks are new, else one line of progress."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: dict[tuple[str, str], tuple[str, ...]] = {}

    def __call__(self, analysis: Analysis) -> None:
        key = (analysis.service, analysis.version)
        state = (analysis.status, *sorted(v.site.id for v in analysis.verdicts if v.verdict == "leak"))
        new = self._shown.get(key) != state
        self._shown[key] = state
        print(render(analysis) if new else progress(analysis), file=self._out, flush=True)
