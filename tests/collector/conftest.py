"""A collector as users run it, on a free port, and what speaks to it."""

from __future__ import annotations

import gzip
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from heapwatch_wire.proto import Profile, PushRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

Frames = Sequence[tuple[str, str, int]]

MEMORY_TYPES = (
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Speaks HTTP to a collector; `headers` go with every request."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=300)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.title(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer to a GET that must succeed."""
        answer = self.request("GET", path + ("?" + urlencode(query, doseq=True) if query else ""))
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> Answer:
        return self.request("POST", path, body, {"Content-Type": content_type, **headers})

    def post_json(self, path: str, value: Any) -> Answer:
        return self.post(path, json.dumps(value).encode(), "application/json")

    def push(self, profile: Profile, **labels: str) -> None:
        """Deliver `profile` as the agent does; it must be accepted."""
        body = gzip.compress(build_push(profile, **labels), 1)
        path = "/push.v1.PusherService/Push"
        answer = self.post(path, body, "application/proto", **{"Content-Encoding": "gzip"})
        assert (answer.status, answer.body) == (200, b""), answer.body

    def ask(self, method: str, **message: Any) -> Any:
        """A call of querier.v1 in JSON that must succeed."""
        answer = self.post_json(f"/querier.v1.QuerierService/{method}", message)
        assert answer.status == 200, answer.body
        return answer.json


def build_push(profile: Profile, **labels: str) -> bytes:
    named = {"__name__": "memory", "service_name": "shop", "instance": "web-1", **labels}
    pairs = [{"name": k, "value": v} for k, v in named.items()]
    sample = {"raw_profile": gzip.compress(profile.SerializeToString(), 1), "ID": "0b3b"}
    return PushRequest(series=[{"labels": pairs, "samples": [sample]}]).SerializeToString()


def build_profile(
    stacks: Sequence[tuple[Frames, Sequence[int], Mapping[str, str]]],
    at: float = 0.0,
    types: Sequence[tuple[str, str]] = MEMORY_TYPES,
    period: int = 65536,
) -> Profile:
    """A pprof profile from (frames innermost first, a value per type, labels) at `at` (Unix s, 0 is now)."""
    strings: dict[str, int] = {"": 0}
    functions: dict[tuple[str, str], int] = {}
    locations: dict[tuple[str, str, int], int] = {}

    def text(value: str) -> int:
        return strings.setdefault(value, len(strings))

    profile = Profile(time_nanos=round((at or time.time()) * 1000) * 1_000_000, period=period)
    profile.period_type.type, profile.period_type.unit = text("space"), text("bytes")
    for kind, unit in types:
        profile.sample_type.add(type=text(kind), unit=text(unit))
    for frames, values, labels in stacks:
        for function, file, line in frames:
            if (function, file) not in functions:
                functions[function, file] = len(functions) + 1
                profile.function.add(
                    id=functions[function, file],
                    name=text(function),
                    system_name=text(function),
                    filename=text(file),
                )
            if (function, file, line) not in locations:
                locations[function, file, line] = len(locations) + 1
                profile.location.add(
                    id=locations[function, file, line],
                    line=[{"function_id": functions[function, file], "line": line}],
                )
        profile.sample.add(
            location_id=[locations[f] for f in frames],
            value=values,
            label=[{"key": text(k), "str": text(v)} for k, v in labels.items()],
        )
    profile.string_table.extend(strings)
    return profile


def build_metrics(
    values: Mapping[str, float],
    at: float = 0.0,
    service: str = "shop",
    instance: str = "web-1",
    version: str = "1.0",
) -> bytes:
    """An OTLP request with one gauge per name."""
    nanos = round((at or time.time()) * 1000) * 1_000_000
    about = {
        "service.name": service,
        "service.version": version,
        "service.instance.id": instance,
        "process.pid": "41",
        "host.name": "box",
        "process.runtime.name": "cpython",
        "process.runtime.version": "3.11.7",
    }
    attributes = [{"key": k, "value": {"string_value": v}} for k, v in about.items()]
    metrics = [
        {"name": n, "gauge": {"data_points": [{"time_unix_nano": nanos, "as_double": v}]}}
        for n, v in values.items()
    ]
    return ExportMetricsServiceRequest(
        resource_metrics=[{"resource": {"attributes": attributes}, "scope_metrics": [{"metrics": metrics}]}]
    ).SerializeToString()


StartCollector = Callable[..., tuple[Client, Any]]
COMMITTING = ("--commit-interval", "0.01")
"""Tests send one thing after the other, and an answer waits for its commit."""


@pytest.fixture(scope="session")
def make_profile() -> Callable[..., Profile]:
    """make_profile([(frames innermost first, a value per type, labels), ...], at=Unix s, types=...)."""
    return build_profile


@pytest.fixture(scope="session")
def make_push() -> Callable[..., bytes]:
    """make_push(profile, **labels): a serialized push.v1.PushRequest."""
    return build_push


@pytest.fixture(scope="session")
def make_metrics() -> Callable[..., bytes]:
    """make_metrics({name: gauge, ...}, at=, service=, instance=, version=): an OTLP request."""
    return build_metrics


@pytest.fixture
def start_collector(spawn: Any, heapwatch: list[str], tmp_path: Path) -> StartCollector:
    """start_collector(*options, data=..., env=...) -> (Client, Child)."""

    def start(
        *options: str, data: Path = tmp_path / "data", env: Mapping[str, str] | None = None
    ) -> tuple[Client, Any]:
        command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", str(data), *COMMITTING]
        child = spawn(*command, *options, env=env)
        line = child.wait_line("listening on http://")
        return Client(line.rpartition("//")[2]), child

    return start


@pytest.fixture(scope="module")
def collector(heapwatch: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One collector for the tests of a module, which each use services of their own."""
    folder = str(tmp_path_factory.mktemp("data"))
    command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", folder, *COMMITTING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Client(process.stdout.readline().strip().rpartition("//")[2])
        process.terminate()
        assert process.wait(240) == 0
