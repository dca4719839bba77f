"""A collector that knows a leaking shop, and a browser that looks at its page."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from heapwatch_wire import otlp, pprof, push
from heapwatch_wire.analysis import Analysis, Anomaly, InstanceForecast, Scaling
from heapwatch_wire.evidence import (
    Call,
    Evidence,
    Forecast,
    Growth,
    Holder,
    Point,
    Recommendation,
    Share,
    Site,
    to_json,
)
from heapwatch_wire.metric import PAUSE_BUCKETS
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.sites import Frame, site_id
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect

WEB = Path(__file__).resolve().parents[2] / "collector" / "heapwatch_collector" / "web"
TOKEN = "a-token-of-the-tests"  # noqa: S105
TIME_ZONE = "Asia/Kolkata"  # half an hour off the full hour: local time can't be taken for UTC
MIB = 1 << 20
SPAN = 3420  # of the story, in seconds
EVERY = 90
LEAKS_SINCE = 2100
WIDE_FRAMES = 5000


# What the shop sends: two processes, one of whose sites leaks.

SERVE = Frame("SyncWorker.handle", "/usr/lib/python3/site-packages/gunicorn/workers/sync.py", 134)
DISPATCH = Frame("Flask.dispatch_request", "/usr/lib/python3/site-packages/flask/app.py", 902)
FEED = Frame("show_feed", "/srv/shop/app/feed.py", 58)
PHOTO = Frame("post_photo", "/srv/shop/app/photos.py", 31)
REMEMBER = Frame("SessionCache.remember", "/srv/shop/app/cache.py", 41)
DECODE = Frame("JSONDecoder.decode", "/usr/lib/python3.11/json/decoder.py", 337)
RENDER = Frame("Template.render", "/usr/lib/python3/site-packages/jinja2/environment.py", 1295)
QUERY = Frame("Session.execute", "/usr/lib/python3/site-packages/sqlalchemy/orm/session.py", 2365)
RESIZE = Frame("Image.resize", "/usr/lib/python3/site-packages/PIL/Image.py", 2365)
LOAD = Frame("load_settings", "/srv/shop/app/settings.py", 12)
IMPORTED = Frame("<module>", "/srv/shop/app/settings.py", 20)
IMPORT = tuple(
    Frame(name, "<frozen importlib._bootstrap>", 1)
    for name in ("_call_with_frames_removed", "_load_unlocked", "_find_and_load_unlocked", "_find_and_load")
)

STACKS: tuple[tuple[tuple[Frame, ...], str, float], ...] = (
    ((REMEMBER, FEED, DISPATCH, SERVE), "GET /feed", 0.44),
    ((REMEMBER, PHOTO, DISPATCH, SERVE), "POST /photos", 0.14),
    ((DECODE, REMEMBER, FEED, DISPATCH, SERVE), "GET /feed", 0.06),
    ((RENDER, FEED, DISPATCH, SERVE), "GET /feed", 0.12),
    ((QUERY, FEED, DISPATCH, SERVE), "GET /feed", 0.09),
    ((QUERY, PHOTO, DISPATCH, SERVE), "POST /photos", 0.03),
    ((RESIZE, PHOTO, DISPATCH, SERVE), "POST /photos", 0.05),
    ((LOAD, IMPORTED, *IMPORT, SERVE), "", 0.07),
)


@dataclass(frozen=True)
class Story:
    """What was sent, for tests to compare the page with. `now` is the last push in Unix seconds."""

    url: str
    now: float
    analysis: Analysis

    @property
    def leak(self) -> Evidence:
        return self.analysis.verdicts[0]


@dataclass(frozen=True)
class Process:
    pid: int
    service: str = "shop"
    version: str = "2.1.0"

    @property
    def instance(self) -> str:
        return f"web-3-{self.pid}-65af01"

    @property
    def resource(self) -> dict[str, str | int]:
        return {
            "service.name": self.service,
            "service.version": self.version,
            "service.instance.id": self.instance,
            "process.pid": self.pid,
            "host.name": "web-3",
            "process.runtime.name": "cpython",
            "process.runtime.version": "3.11.7",
        }

    @property
    def profile_labels(self) -> dict[str, str]:
        return {
            "__name__": "memory",
            "service_name": self.service,
            "service_version": self.version,
            "instance": self.instance,
            "pid": str(self.pid),
            "host": "web-3",
        }


LEAKING = (Process(4211), Process(4212))
STEADY = Process(977, "checkout", "5.0.2")
OLD = Process(970, "checkout", "5.0.1")  # replaced by STEADY in the middle of the story
WIDE = Process(31, "wide", "")


def rss(process: Process, age: float) -> float:
    """Bytes at `age` seconds before now: the shop is steady, then grows to 320 MiB; checkout stays."""
    wave = 3 * ((process.pid + int(age) // EVERY) % 4)
    if process.service == "checkout":
        return (180 + wave) * MIB
    grown = 1 - min(age, LEAKS_SINCE) / LEAKS_SINCE
    return (170 + 150 * grown + wave - (process.pid - 4211) * 12) * MIB


def metrics(process: Process, now: float, age: float) -> bytes:
    seen = SPAN - age + 60
    memory = rss(process, age)
    pauses = [
        otlp.Histogram(
            BY_NAME["heapwatch.gc.pause"],
            pause_counts(generation, seen),
            seen / 900,
            {"cpython.gc.generation": generation},
        )
        for generation in (0, 1, 2)
    ]
    gauges = {
        "process.memory.usage": memory,
        "heapwatch.heap.live": memory * 0.58,
        "heapwatch.container.memory.limit": 512 * MIB,
    }
    points: list[otlp.Point] = [
        *(otlp.Number(BY_NAME[name], int(value)) for name, value in gauges.items()),
        *pauses,
    ]
    return otlp.encode(process.resource, points, now - SPAN - 60, now - age)


def pause_counts(generation: int, seen: float) -> tuple[int, ...]:
    """Cumulative: most pauses of a generation fall into one bucket, each tenth into the next."""
    counts = [0] * (len(PAUSE_BUCKETS) + 1)
    total = int(seen) // (generation * 8 + 2)
    counts[3 * generation + 1], counts[3 * generation + 2] = total, total // 10
    return tuple(counts)


def profile(process: Process, now: float, age: float) -> bytes:
    live = rss(process, age) * 0.58
    samples = [sample(stack, endpoint, live * share) for stack, endpoint, share in STACKS]
    return encoded(process, samples, now - age)


def wide_profile(now: float) -> bytes:
    """A profile whose flame graph has more than WIDE_FRAMES bars."""
    draw = random.Random(5)
    calls = [Frame(f"package{draw.randrange(9)}.call_{i}", f"/srv/wide/{i}.py", i + 1) for i in range(400)]
    samples = [
        sample(tuple(draw.choices(calls, k=draw.randrange(6, 30))), "", draw.uniform(0.2, 4) * MIB)
        for _ in range(900)
    ]
    return encoded(WIDE, samples, now)


def sample(stack: tuple[Frame, ...], endpoint: str, size: float) -> pprof.Sample:
    labels = (("thread", "MainThread"), *((("endpoint", endpoint),) if endpoint else ()))
    objects = int(size // 640)
    return pprof.Sample(stack, (objects // 9, int(size / 9), objects, int(size)), labels)


def encoded(process: Process, samples: list[pprof.Sample], at: float) -> bytes:
    made = pprof.Profile(samples, period=65536, time_nanos=int(at * 1e9))
    return push.encode(process.profile_labels, pprof.encode(made))


# What the analyzer says about it.


ITEM_TYPES = ("dict", "app.models.Session", "list", "app.models.Item")


def leak(now: float) -> Evidence:
    calls = tuple(Call.of(frame) for frame in (REMEMBER, FEED, DISPATCH, SERVE))
    site = Site(site_id(REMEMBER), *REMEMBER, caller=calls[1], stack=calls)
    draw = random.Random(3)
    times = range(SPAN, -1, -30)
    return Evidence(
        verdict="leak",
        service="shop",
        version="2.1.0",
        site=site,
        type="app.models.Session",
        live_bytes=182 * MIB,
        live_objects=298_000,
        growth=Growth(5.1 * MIB / 60, 4.7 * MIB / 60, 5.5 * MIB / 60, 139.0),
        time=now - 20,
        instances=2,
        growing=2,
        series=tuple(
            Point(now - age, max(4, 182 - 5.1 * age / 60) * noise * MIB, max(0, 298_000 - age * 139))
            for age, noise in ((age, draw.uniform(0.98, 1.02)) for age in times)
        ),
        statistics={
            "z": 18.2, "samples": 2448.0, "ongoing": 1.04, "slowing_z": -0.3, "span": 1200.0, "novel": 0.25,
        },
        thresholds={"leak_z": 4.0, "samples": 10.0, "ongoing": 0.4, "slowing_z": 1.5, "span": 75.0},
        reasons=("growth is 18.2 standard errors above zero over 20 min (needs 4)",),
        holders=(
            Holder("app.cache.SESSIONS['u:17'].items[3]", "module", ITEM_TYPES, 0.5),
            Holder("app.cache.SESSIONS['u:99'].items[0]", "module", ITEM_TYPES, 0.4),
            Holder("Thread-7.session", "thread", ("threading.Thread", "app.models.Session"), 0.1),
        ),
        endpoints=(Share("GET /feed", 0.75), Share("POST /photos", 0.25)),
        forecast=Forecast(320 * MIB, 512 * MIB, 2400, 2100, 3000),
        recommendation=Recommendation(
            "Bound the cache app.cache.SESSIONS",
            "app.cache.SESSIONS is a dict that gets an entry for each new key at app/cache.py:41 and never "
            "loses one. Give it a size or an age: functools.lru_cache(maxsize=1024), or cachetools.TTLCache.",
            5.1 * 60 * MIB,
        ),
    )  # fmt: skip


def suspicion(now: float) -> Evidence:
    site = Site(site_id(RENDER), *RENDER, caller=Call.of(FEED), stack=tuple(map(Call.of, (RENDER, FEED))))
    growth = Growth(42 * 1024 / 60, 9 * 1024 / 60, 75 * 1024 / 60, 1.2)
    return replace(
        leak(now), verdict="suspicion", site=site, type="str", live_bytes=9 * MIB, live_objects=2100,
        growth=growth, growing=1, series=(), holders=(), endpoints=(), forecast=None, recommendation=None,
    )  # fmt: skip


def leaking_analysis(now: float) -> Analysis:
    found = leak(now)
    assert found.forecast is not None
    assert found.recommendation is not None
    first, second = (process.instance for process in LEAKING)
    slope = 2.5 * MIB / 60
    return Analysis(
        service="shop",
        version="2.1.0",
        time=now - 20,
        window=1800,
        status="leak",
        instances=2,
        verdicts=(found, suspicion(now)),
        anomalies=(
            Anomaly(
                first, now - 600, 0.86,
                (Share("heapwatch.gc.pause", 0.6), Share("process.memory.usage", 0.3)),
                "Pauses of generation 2 are three times as long as in the hour before.",
            ),
        ),
        forecasts=(
            InstanceForecast(first, slope, slope * 0.9, slope * 1.1, found.forecast),
            InstanceForecast(second, slope, slope * 0.9, slope * 1.1, replace(found.forecast, seconds=2700)),
        ),
        recommendations=(found.recommendation,),
        scaling=Scaling(
            "restart", 352 * MIB, 512 * MIB, 2,
            "No size outgrows a leak: restart before the limit, and mend it.", "kind: Deployment\n",
        ),
    )  # fmt: skip


# The servers.


def post(url: str, body: bytes, content_type: str) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert answer.status == 200


def tell(url: str) -> Story:
    """Send the whole story to the collector at `url`."""
    now = time.time()
    told = leaking_analysis(now)
    watched = replace(suspicion(now), service="checkout", version="5.0.2")
    quiet = Analysis("checkout", "5.0.2", now - 20, 1800, "no leak", 1, (watched,))
    lives = {LEAKING[0]: (0, SPAN + 1), LEAKING[1]: (0, SPAN + 1), STEADY: (0, 1800), OLD: (1800, SPAN + 1)}
    profiles = [profile(p, now, age) for p in LEAKING for age in range(0, SPAN, 300)]
    points = [metrics(p, now, age) for p, ages in lives.items() for age in range(*ages, EVERY)]
    sent = [
        *((push.PATH, body, push.CONTENT_TYPE) for body in (*profiles, wide_profile(now))),
        *((otlp.PATH, body, otlp.CONTENT_TYPE) for body in points),
        *(("/api/v1/analyses", json.dumps(to_json(a)).encode(), "application/json") for a in (told, quiet)),
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: post(url + one[0], one[1], one[2]), sent))
    return Story(url, now, told)


@pytest.fixture(scope="session")
def built() -> None:
    """The page is built from the present sources."""
    subprocess.run([sys.executable, WEB / "build.py"], check=True)


Serve = Callable[..., str]


@pytest.fixture(scope="session")
def serve(built: None, heapwatch: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """serve(token="") -> the address of a new collector; all are stopped at the end."""
    children: list[subprocess.Popen[str]] = []

    def start(token: str = "") -> str:
        folder = tmp_path_factory.mktemp("collector")
        command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data")]
        with (folder / "log").open("w") as log:
            child = subprocess.Popen(
                command,
                env={**os.environ, "HEAPWATCH_TOKEN": token, "HEAPWATCH_COMMIT_INTERVAL": "0.01"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        children.append(child)
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first.startswith("listening on "), first + (folder / "log").read_text()
        return first.removeprefix("listening on ").strip()

    yield start
    for child in children:
        child.terminate()
    for child in children:
        child.wait(240)
        assert child.stdout is not None
        child.stdout.close()


@pytest.fixture(scope="module")
def story(serve: Serve) -> Story:
    """The collector of a module's tests, with everything sent; modules may run half an hour apart."""
    return tell(serve())


@pytest.fixture(scope="session")
def empty(serve: Serve) -> str:
    """The address of a collector to which nobody has sent anything."""
    return serve()


@pytest.fixture(scope="session")
def token() -> str:
    return TOKEN


@pytest.fixture(scope="session")
def locked(serve: Serve) -> str:
    """The address of an empty collector that asks for `token`."""
    return serve(TOKEN)


# The browser.

expect.set_options(timeout=120_000)


class Visit:
    """A browser window at one collector. What went wrong behind the scenes is kept in `complaints`."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.context = browser.new_context(timezone_id=TIME_ZONE, locale="en-GB", **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.context.route("**/*", self._guard)

    def open(self, place: str = "#/") -> Page:
        """The page at `place`, such as "#/services/shop"."""
        self.page.goto(f"{self.url}/{place}")
        return self.page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _guard(self, route: Route, request: Request) -> None:
        if request.url.startswith((self.url + "/", "data:")):
            route.continue_()
        else:
            self.complaints.append(f"asked elsewhere: {request.url}")
            route.abort()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """visit(url, **context options) -> Visit. A test fails on complaints that it didn't clear."""
    visits: list[Visit] = []

    def start(url: str, **options: Any) -> Visit:
        visits.append(Visit(browser, url, **{"viewport": {"width": 1280, "height": 900}, **options}))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
    assert [complaint for one in visits for complaint in one.complaints] == []


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder that HEAPWATCH_SCREENSHOTS names, or the test's own."""
    folder = Path(os.environ.get("HEAPWATCH_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def web() -> Path:
    """The folder of the page's sources."""
    return WEB


@pytest.fixture(scope="session")
def build_script() -> ModuleType:
    """web/build.py as a module."""
    spec = importlib.util.spec_from_file_location("page_build", WEB / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
