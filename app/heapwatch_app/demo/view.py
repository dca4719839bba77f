"""What the demo shows while it runs: a live panel on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from heapwatch.cli.units import signed_size, size
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from heapwatch_app.demo.platform import GrowingSite, Worker

BARS = "▁▂▃▄▅▆▇█"
LINE_EVERY = 10.0


@dataclass
class State:
    """What is known at one moment. `stage` says what happens now; `elapsed` and `limit` are seconds in it."""

    stage: str
    elapsed: float = 0.0
    limit: float = 0.0
    workers: Sequence[Worker] = ()
    sites: Sequence[GrowingSite] = ()
    requests_per_second: float = 0.0
    errors: int = 0
    p95: float = 0.0
    status: str = "learning"


@dataclass
class View:
    """Context manager; `show(state)` is called about once a second."""

    console: Console
    _history: dict[int, deque[float]] = field(default_factory=dict)
    _live: Live | None = None
    _last_line: float = 0.0

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self, state: State) -> None:
        for worker in state.workers:
            self._history.setdefault(worker.pid, deque(maxlen=60)).append(worker.rss)
        if self._live is not None:
            self._live.update(self._panel(state))
        elif time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(self._line(state), highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def _panel(self, state: State) -> Panel:
        return Panel(
            Group(_progress(state), self._workers(state), _sites(state)), title="heapwatch demo", width=100
        )

    def _workers(self, state: State) -> Table:
        table = Table(box=None, pad_edge=False)
        for name, justify in (("worker", "right"), ("RSS", "right"), ("last minute", "left")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for worker in state.workers:
            table.add_row(str(worker.pid), size(worker.rss), sparkline(self._history[worker.pid]))
        return table

    def _line(self, state: State) -> str:
        rss = " ".join(f"{w.pid}:{size(w.rss)}" for w in state.workers)
        top = "".join(f"; top growth {s.text} {signed_size(s.change)}/min" for s in state.sites[:1])
        load = f"{state.requests_per_second:.0f} req/s, {state.errors} errors"
        return (
            f"[{state.elapsed:3.0f}/{state.limit:.0f} s] {state.stage}: {load}, "
            f"RSS {rss or '-'}, status {state.status}{top}"
        )


def sparkline(values: Sequence[float]) -> str:
    """`values` as one character each, from their minimum to their maximum."""
    low, high = min(values), max(values)
    if high <= low:
        return BARS[0] * len(values)
    return "".join(BARS[int((v - low) / (high - low) * (len(BARS) - 1))] for v in values)


def _progress(state: State) -> Text:
    width = 30
    filled = int(width * min(1.0, state.elapsed / state.limit)) if state.limit else 0
    bar = "━" * filled + "─" * (width - filled)
    return Text(
        f"{state.stage}  {bar} {state.elapsed:.0f}/{state.limit:.0f} s\n"
        f"load: {state.requests_per_second:.0f} requests/s, p95 {state.p95:.0f} ms, {state.errors} errors; "
        f"status: {state.status}\n"
    )


def _sites(state: State) -> Table:
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("live", "right"),
        ("last minute", "right"),
        ("top growing allocation sites", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for site in state.sites:
        table.add_row(size(site.live), signed_size(site.change), site.text)
    return table
