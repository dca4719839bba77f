"""Views made of readings: processes added up, and compared with what they said before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heapwatch_wire.histogram import quantile

from heapwatch.cli.top.reading import Answer, Reading
from heapwatch.cli.top.view import EndpointRow, GenerationRow, Process, SiteRow, View

WINDOW = 60.0
_SITE_SUMS = ("live_bytes", "live_objects", "alloc_bytes", "alloc_objects", "inherited_bytes", "growth")
_ENDPOINT_SUMS = ("requests", "seconds", "allocated", "retained", "live", "statements")


class History:
    """Readings of the last WINDOW seconds, for rates."""

    def __init__(self) -> None:
        self._readings: deque[dict[int, Reading]] = deque()

    def view(self, readings: Iterable[Reading], now: float) -> View:
        """The view of `readings`, taken now (Unix seconds), compared with the oldest that are kept."""
        latest = {reading.pid: reading for reading in readings}
        self._readings.append(latest)
        newest = _moment(latest)
        while len(self._readings) > 2 and _moment(self._readings[1]) <= newest - WINDOW:
            self._readings.popleft()
        return _view([Pair(reading, self._before(reading)) for reading in latest.values()], now)

    def _before(self, reading: Reading) -> Reading | None:
        for readings in self._readings:
            found = readings.get(reading.pid)
            if found is not None and found is not reading and not found.silent:
                # A new process may have an old one's id.
                return found if found.info["instance"] == reading.info.get("instance") else None
        return None


@dataclass(frozen=True)
class Pair:
    """A reading, and one before it that rates are counted from (None: from the agent's start)."""

    now: Reading
    before: Reading | None

    @property
    def seconds(self) -> float:
        if self.before is None:
            return max(1.0, float(self.now.info["watched"]))
        return max(1e-3, self.now.time - self.before.time)


def sites(pairs: Sequence[Pair]) -> list[SiteRow]:
    """The sites of all processes, those of the same place and service added up, the largest first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in pairs:
        earlier = {site["id"]: site["alloc_bytes"] for site in pair.before.sites} if pair.before else {}
        for site in pair.now.sites:
            key = pair.now.info["service"], site["id"]
            known = found.setdefault(key, {**site, **dict.fromkeys(_SITE_SUMS, 0.0), "alloc_rate": 0.0})
            for name in _SITE_SUMS:
                known[name] += site[name]
            # One that wasn't among the largest before has no rate yet.
            known_before = earlier.get(site["id"], 0.0 if pair.before is None else site["alloc_bytes"])
            known["alloc_rate"] += max(0.0, site["alloc_bytes"] - known_before) / pair.seconds
    rows = [
        SiteRow(
            service,
            **{name: site[name] for name in ("id", "function", "file", "line", "live_bytes", "live_objects")},
            **{name: site[name] for name in ("inherited_bytes", "growth", "alloc_rate")},
        )
        for (service, _), site in found.items()
    ]
    return sorted(rows, key=lambda row: -row.live_bytes)


def _moment(readings: Mapping[int, Reading]) -> float:
    return max((reading.time for reading in readings.values()), default=0.0)


def _view(pairs: Sequence[Pair], now: float) -> View:
    known = [pair for pair in pairs if not pair.now.silent]
    windows = [pair.seconds for pair in known if pair.before is not None]
    processes = [_silent(pair.now) if pair.now.silent else _process(pair) for pair in pairs]
    services = {process.main: process.service for process in processes if process.service}
    processes.sort(key=lambda p: (services.get(p.main, ""), p.main, p.pid != p.main, p.pid))
    return View(
        time=now,
        window=max(windows) if windows else None,
        processes=tuple(processes),
        sites=tuple(sites(known)),
        gc=tuple(row for pair in known for row in _generations(pair)),
        endpoints=tuple(_endpoints(known)),
    )


def _silent(reading: Reading) -> Process:
    return Process(reading.pid, reading.main, note=reading.silent)


def _process(pair: Pair) -> Process:
    now, before, info = pair.now, pair.before, pair.now.info
    paused = _paused(now) - (_paused(before) if before else 0.0)
    longest = [g["quantiles"]["max"] for g in now.garbage["pause_generations"] if g["quantiles"]["count"]]
    requests = _requests(now) - (_requests(before) if before else 0)
    return Process(
        pid=now.pid,
        main=now.main,
        **{name: info[name] for name in ("service", "version", "uptime", "rss", "peak", "live_bytes")},
        used=now.used,
        limit=now.limit,
        growth=(info["rss"] - before.info["rss"]) / pair.seconds if before else None,
        gc_share=paused / pair.seconds,
        gc_longest=max(longest, default=None),
        requests_in_flight=now.requests["in_flight"],
        requests_per_second=requests / pair.seconds,
        note=f"no samples: {info['reason']}" if info["reason"] else "",
    )


def _paused(reading: Reading) -> float:
    return float(sum(generation["seconds"] for generation in reading.garbage["pause_generations"]))


def _requests(reading: Reading) -> int:
    return int(sum(endpoint["requests"] for endpoint in reading.requests["endpoints"]))


def _generations(pair: Pair) -> Iterator[GenerationRow]:
    earlier = pair.before.garbage["pause_generations"] if pair.before else []
    garbage = pair.now.garbage
    for number, now in enumerate(garbage["pause_generations"]):
        before = earlier[number] if earlier else {"collections": 0, "collected": 0, "seconds": 0.0}
        quantiles = now["quantiles"]
        yield GenerationRow(
            pair.now.pid,
            number,
            garbage["thresholds"][number],
            garbage["counts"][number],
            (now["collections"] - before["collections"]) / pair.seconds,
            (now["collected"] - before["collected"]) / pair.seconds,
            (now["seconds"] - before["seconds"]) / pair.seconds,
            quantiles.get("p50"),
            quantiles.get("p99"),
            quantiles.get("max"),
        )


def _endpoints(pairs: Sequence[Pair]) -> list[EndpointRow]:
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for pair in pairs:
        earlier = {_key(each): each for each in pair.before.requests["endpoints"]} if pair.before else {}
        for endpoint in pair.now.requests["endpoints"]:
            key = (pair.now.info["service"], *_key(endpoint))
            total = found.setdefault(key, {**dict.fromkeys(_ENDPOINT_SUMS, 0), "rate": 0.0, "repeats": []})
            _add(total, endpoint, earlier.get(_key(endpoint)), pair.seconds)
    rows = [_endpoint(*key, total) for key, total in found.items()]
    return sorted(rows, key=lambda row: (-row.requests_per_second, -row.requests))


def _key(endpoint: Answer) -> tuple[str, str]:
    return endpoint["kind"], endpoint["name"]


def _add(total: dict[str, Any], endpoint: Answer, before: Answer | None, seconds: float) -> None:
    for name in _ENDPOINT_SUMS:
        total[name] += endpoint[name]
    counts = endpoint["durations"]["counts"]
    old = before["durations"]["counts"] if before else [0] * len(counts)
    # Counts of an endpoint that lost its place in the agent's table, and came back, begin anew.
    lately = [max(0, new - past) for new, past in zip(counts, old, strict=True)]
    total["bounds"] = endpoint["durations"]["bounds"]
    total["lately"] = [a + b for a, b in zip(total.get("lately", [0] * len(lately)), lately, strict=True)]
    total["rate"] += sum(lately) / seconds
    total["repeats"] += [(repeat["most"], repeat["line"]) for repeat in endpoint["repeated"]]


def _endpoint(service: str, kind: str, name: str, total: Mapping[str, Any]) -> EndpointRow:
    requests = max(1, total["requests"])
    most, line = max(total["repeats"], default=(0, ""))
    return EndpointRow(
        service,
        kind,
        name,
        total["requests"],
        total["rate"],
        quantile(total["bounds"], total["lately"], 0.99),
        total["seconds"] / requests,
        total["allocated"] / requests,
        total["retained"],
        total["live"],
        total["statements"] / requests,
        most,
        line,
    )
