"""The doors for profiles, metrics, evidence and analyses; each answers 200 once what came is durable."""

from __future__ import annotations

import json
import re
import time as clock
from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, EvidenceError, from_json
from heapwatch_wire.proto import Profile, PushRequest

from heapwatch_collector.context import Collector
from heapwatch_collector.errors import Malformed, Refusal, WrongType
from heapwatch_collector.receive import bodies, otlp, pprof
from heapwatch_collector.store.batch import Batch

Document = TypeVar("Document")

_PROTO = "application/proto"
_JSON = "application/json"
_NAME = re.compile(r"\A(?P<name>[^{}]+)(?:\{(?P<labels>[^{}]*)\})?\Z")
# Pyroscope's application names may end in the kind of profile; what each kind is called in a profile type.
_KINDS = {
    "cpu": "process_cpu",
    "itimer": "process_cpu",
    "wall": "wall",
    "inuse_objects": "memory",
    "inuse_space": "memory",
    "alloc_objects": "memory",
    "alloc_space": "memory",
}


def routes(collector: Collector) -> Blueprint:
    """The routes that receive."""
    doors = Blueprint("receive", __name__)

    @doors.post("/push.v1.PusherService/Push")
    def push() -> Response:
        return _push(collector)

    @doors.post("/ingest")
    @doors.post("/pyroscope/ingest")
    def ingest() -> Response:
        return _ingest(collector)

    @doors.post("/v1/metrics")
    def metrics() -> Response:
        return _metrics(collector)

    @doors.post("/api/v1/evidence")
    def evidence() -> Response:
        return _evidence(collector)

    @doors.post("/api/v1/analyses")
    def analyses() -> Response:
        return _analyses(collector)

    return doors


def _body(collector: Collector) -> bytes:
    collector.admit()
    return bodies.read(request, collector.settings.max_body)


def _push(collector: Collector) -> Response:
    kind = bodies.content_type(request)
    if kind not in (_PROTO, _JSON):
        raise WrongType(kind, f"{_PROTO} or {_JSON}")
    body = _body(collector)
    message = PushRequest()
    try:
        if kind == _JSON:
            json_format.Parse(body, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a push.v1.PushRequest: {error}"[:300]) from None
    batch = Batch(len(body))
    for source in message.series:
        series = pprof.series_of({pair.name: pair.value for pair in source.labels})
        for sample in source.samples:
            # Several profiles share one request's limit, so that a small body can't unpack to many of them.
            left = collector.settings.max_body - batch.size
            profile = pprof.decode(sample.raw_profile, max(left, len(sample.raw_profile)))
            batch.size += profile.ByteSize()
            pprof.add_profile(batch, profile, series, collector.limits)
    collector.commit(batch, "profiles")
    return Response(b"{}" if kind == _JSON else b"", content_type=kind)


def _ingest(collector: Collector) -> Response:
    wanted = request.args.get("format", "")
    multipart = bodies.content_type(request) == "multipart/form-data"
    if wanted not in ("pprof", "") or (not wanted and not multipart):
        raise Refusal(415, f"format {wanted or 'folded'!r} is not read here", "send format=pprof")
    name, labels = _application(request.args.get("name", ""))
    until = _until(request.args.get("until", ""))
    collector.admit()
    data = _uploaded(collector) if multipart else bodies.read(request, collector.settings.max_body)
    profile = pprof.decode(data, collector.settings.max_body)
    if not profile.time_nanos:
        profile.time_nanos = until
    series = pprof.series_of(
        {"__name__": _profile_name(name, profile), **labels, "service_name": _service(name)}
    )
    batch = Batch(profile.ByteSize())
    pprof.add_profile(batch, profile, series, collector.limits)
    collector.commit(batch, "profiles")
    return Response(b"", content_type="text/plain")


def _uploaded(collector: Collector) -> bytes:
    """The part `profile` of a multipart form."""
    limit = collector.settings.max_body
    request.max_content_length = limit
    request.max_form_memory_size = limit
    upload = request.files.get("profile")
    if upload is None:
        raise Malformed(
            "the form has no file 'profile'", "send the pprof data as a file part named 'profile'"
        )
    return upload.stream.read(limit)


def _application(text: str) -> tuple[str, dict[str, str]]:
    """Pyroscope's application name `shop.cpu{region=eu}` as its name and labels."""
    match = _NAME.match(text)
    if match is None:
        raise Malformed(
            f"name={text[:80]!r} is not an application name", "send name=APP or name=APP{label=value}"
        )
    labels: dict[str, str] = {}
    for pair in filter(None, (match["labels"] or "").split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise Malformed(f"{pair[:80]!r} is not a label", "write labels as {name=value,name=value}")
        labels[key.strip()] = value.strip().strip('"')
    return match["name"].strip(), labels


def _service(name: str) -> str:
    head, dot, tail = name.rpartition(".")
    return head if dot and tail in _KINDS else name


def _profile_name(name: str, profile: Profile) -> str:
    tail = name.rpartition(".")[2]
    if tail in _KINDS:
        return _KINDS[tail]
    types = [profile.string_table[t.type] for t in profile.sample_type if t.type < len(profile.string_table)]
    if any(t in _KINDS and _KINDS[t] == "memory" for t in types):
        return "memory"
    return "process_cpu" if "cpu" in types else (types[0] if types else "profile")


def _until(text: str) -> int:
    """Unix nanoseconds of a time in Unix seconds; 0 when there is none."""
    if text and not re.fullmatch(r"\d{1,11}(\.\d*)?", text):
        raise Malformed(f"until={text[:80]!r} is not a time", "send until=UNIX_SECONDS")
    return int(float(text) * 1e9) if text else 0


def _metrics(collector: Collector) -> Response:
    kind = bodies.content_type(request)
    if kind not in (otlp.PROTOBUF, otlp.JSON):
        raise WrongType(kind, f"{otlp.PROTOBUF} or {otlp.JSON}")
    body = _body(collector)
    message = otlp.decode(body, kind)
    batch = Batch(len(body))
    answer = otlp.add_metrics(batch, message, collector.limits)
    collector.commit(batch, "metrics")
    if kind == otlp.JSON:
        return Response(json_format.MessageToJson(answer, indent=None), content_type=kind)
    return Response(answer.SerializeToString(), content_type=kind)


def _evidence(collector: Collector) -> Response:
    body = _json_body(collector)
    documents = body.get("documents")
    instance = body.get("instance")
    if not isinstance(documents, list) or not isinstance(instance, str):
        raise Malformed("expected {'instance': text, 'documents': [Evidence, ...]}")
    batch = Batch(request.content_length or 0)
    for value in documents:
        document = _document(Evidence, value)
        time = _seconds(collector, document.time)
        batch.add_evidence(document.service, document.version, document.site.id, instance, time, _text(value))
    collector.commit(batch, "evidence")
    return Response(b"{}", content_type=_JSON)


def _analyses(collector: Collector) -> Response:
    value = _json_body(collector)
    document = _document(Analysis, value)
    batch = Batch(request.content_length or 0)
    time = _seconds(collector, document.time)
    batch.add_analysis(document.service, document.version, time, _text(value))
    collector.commit(batch, "analyses")
    return Response(b"{}", content_type=_JSON)


def _json_body(collector: Collector) -> Mapping[str, Any]:
    kind = bodies.content_type(request)
    if kind != _JSON:
        raise WrongType(kind, _JSON)
    try:
        value = json.loads(_body(collector), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}"[:300]) from None
    if not isinstance(value, dict):
        raise Malformed("expected a JSON object")
    return value


def _text(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise Malformed(f"a number is out of range: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _document(kind: type[Document], value: Any) -> Document:
    try:
        return from_json(kind, value)
    except EvidenceError as error:
        raise Malformed(str(error), "see /api/v1/openapi.json for the schema") from None


def _seconds(collector: Collector, time: float) -> int:
    """`time` in Unix ms, checked against the clock and the retention."""
    if not abs(time) < 1e11:
        raise Malformed(f"{time} is not a time in Unix seconds")
    pprof.check_time(int(time * 1000), int(clock.time() * 1000), collector.settings.retention)
    return int(time * 1000)
