"""The OpenAPI document: every route that isn't a file of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, Site

from heapwatch_collector.query.querier import METHODS
from heapwatch_collector.schemas import components, reference

_RANGE = ("start", "end")
_ARGUMENTS = {
    "start": ("number", "Begin of the range, Unix seconds; default: an hour before its end."),
    "end": ("number", "End of the range, Unix seconds; default: now."),
    "step": ("number", "Seconds per point; by default every point, of endpoints 30 points."),
    "limit": ("integer", "Most sites in the answer; default 200."),
    "version": ("string", "Only this version of the service."),
    "site": ("string", "Only this site, by its id."),
    "service": ("string", "Only this service."),
    "name": ("array", "Metric; repeatable; default: all."),
    "instance": ("array", "Instance; repeatable; default: all."),
    "format": ("string", "pprof; may be left out with multipart/form-data."),
    "until": ("number", "Time of a profile that carries none, Unix seconds."),
}
_PROTO = "application/proto"
_JSON = "application/json"
_PROM = "text/plain"
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_POINTS = {"type": "array", "items": _NUMBERS}


@dataclass(frozen=True)
class Route:
    """A route's documentation: `arguments` in the query, `takes` and `gives` by content type."""

    method: str
    path: str
    summary: str
    arguments: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    body: dict[str, Any] | None = None
    gives: tuple[str, ...] = (_JSON,)
    answer: dict[str, Any] | None = None


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer"}
_MAYBE = {"anyOf": [{"type": "number"}, {"type": "null"}]}

_SERVICE = _object(
    name=_TEXT,
    versions=_list(_TEXT),
    instances=_COUNT,
    parents={**_COUNT, "description": "processes that serve nothing and have forked instances"},
    first_seen=_NUMBER,
    last_seen=_NUMBER,
    rss_bytes=_MAYBE,
    status={"enum": ["leak", "no leak", "learning", "unknown"]},
    leaks=_COUNT,
)
_INSTANCE = _object(
    id=_TEXT,
    version=_TEXT,
    pid=_MAYBE,
    host=_TEXT,
    runtime=_TEXT,
    first_seen=_NUMBER,
    last_seen=_NUMBER,
    rss_bytes=_MAYBE,
    limit_bytes=_MAYBE,
    live_bytes=_MAYBE,
    role={"enum": ["worker", "parent"]},
)
_METRIC = _object(
    name=_TEXT,
    instance=_TEXT,
    version=_TEXT,
    attributes={"type": "object", "additionalProperties": _TEXT},
    points={**_POINTS, "description": "[time, value]; of a histogram [time, count, sum]"},
    buckets={"type": "array", "description": "of a histogram: its bounds, then the counts of each point"},
)
_SITE = _object(
    site=reference(Site),
    endpoints=_list(_object(name=_TEXT, share=_NUMBER)),
    instances={
        "type": "object",
        "additionalProperties": {**_POINTS, "description": "[time, live bytes, live objects] of every push"},
    },
)

_ENDPOINT = _object(
    name=_TEXT,
    requests=_COUNT,
    errors={**_COUNT, "description": "answered with 5xx, or failed"},
    **{
        name: {**_MAYBE, "description": text}
        for name, text in {
            "duration": "mean seconds of a request",
            "p50": "seconds that half of the requests took at most",
            "p99": "seconds that 99 of 100 requests took at most",
            "allocated": "estimated bytes that a request allocated",
            "retained": "estimated bytes of those that lived when it ended",
            "peak": "estimated bytes of those that lived at once",
            "gc": "seconds that garbage collections stopped a request",
            "cpu": "CPU seconds of a request, null where it isn't measured",
            "statements": "statements that a request sent to databases",
            "repeated": "statements of those that repeat one five times or more, beyond the first (N+1)",
            "statement_seconds": "seconds that a request waited for databases",
            "template_seconds": "seconds that a request rendered templates",
        }.items()
    },
    live={**_NUMBER, "description": "estimated bytes that live now and that its requests allocated"},
    points={**_POINTS, "description": "[begin of a step, requests, estimated bytes allocated]"},
)

ROUTES: tuple[Route, ...] = (
    Route(
        "get",
        "/api/v1/services",
        "Services, with the state of their latest analyses.",
        answer=_object(services=_list(_SERVICE)),
    ),
    Route(
        "get",
        "/api/v1/services/{service}/instances",
        "Processes of a service seen in the range.",
        _RANGE,
        answer=_object(instances=_list(_INSTANCE)),
    ),
    Route(
        "get",
        "/api/v1/services/{service}/metrics",
        "Points of a service's metrics.",
        ("name", "instance", *_RANGE, "step"),
        answer=_object(series=_list(_METRIC)),
    ),
    Route(
        "get",
        "/api/v1/services/{service}/sites",
        "Allocation sites by growth, then size, with their live bytes.",
        ("version", *_RANGE, "limit", "step"),
        answer=_object(interval=_COUNT, sites=_list(_SITE)),
    ),
    Route(
        "get",
        "/api/v1/services/{service}/endpoints",
        "What endpoints did in the range: averages of one request, the busiest endpoint first.",
        ("version", "instance", *_RANGE, "step"),
        answer=_object(seconds=_NUMBER, endpoints=_list(_ENDPOINT)),
    ),
    Route(
        "get",
        "/api/v1/services/{service}/evidence",
        "Evidence found in processes: the latest of each site.",
        ("version", "site"),
        answer=_object(documents=_list(_object(instance=_TEXT, evidence=reference(Evidence)))),
    ),
    Route(
        "post",
        "/api/v1/evidence",
        "Store what an agent found.",
        takes=(_JSON,),
        body=_object(instance=_TEXT, documents=_list(reference(Evidence))),
    ),
    Route("post", "/api/v1/analyses", "Store an analysis.", takes=(_JSON,), body=reference(Analysis)),
    Route(
        "get",
        "/api/v1/analyses",
        "The latest analysis of each service version.",
        ("service", "version"),
        answer=_object(analyses=_list(reference(Analysis))),
    ),
    Route(
        "get",
        "/api/v1/leaks",
        "The leaks of the latest analyses, the fastest first.",
        ("service",),
        answer=_object(leaks=_list(reference(Evidence))),
    ),
    Route(
        "get",
        "/api/v1/leaks/{service}/{site_id}",
        "The latest verdict on a site.",
        ("version",),
        answer=reference(Evidence),
    ),
    Route("get", "/api/v1/openapi.json", "This document."),
    Route(
        "post",
        "/push.v1.PusherService/Push",
        "Store pprof profiles: push.v1.PushRequest.",
        takes=(_PROTO, _JSON),
        gives=(_PROTO, _JSON),
    ),
    Route(
        "post",
        "/ingest",
        "Store a pprof profile; name=APP{label=value}.",
        ("name", "format", "until"),
        takes=("application/octet-stream", "multipart/form-data"),
        gives=(_PROM,),
    ),
    Route(
        "post",
        "/pyroscope/ingest",
        "As /ingest.",
        ("name", "format", "until"),
        takes=("application/octet-stream", "multipart/form-data"),
        gives=(_PROM,),
    ),
    Route(
        "post",
        "/v1/metrics",
        "Store OTLP metrics: ExportMetricsServiceRequest.",
        takes=("application/x-protobuf", _JSON),
        gives=("application/x-protobuf", _JSON),
    ),
    Route(
        "post",
        "/querier.v1.QuerierService/{method}",
        f"The Pyroscope query API (Connect): {', '.join(METHODS)}.",
        takes=(_PROTO, _JSON),
        gives=(_PROTO, _JSON),
    ),
    Route("get", "/metrics", "The Prometheus page.", gives=(_PROM, "application/openmetrics-text")),
    Route("get", "/healthz", "200 while the process runs; needs no token.", gives=(_PROM,)),
    Route("get", "/readyz", "200 while the store answers; needs no token.", gives=(_PROM,)),
)


def routes() -> Blueprint:
    """The route of the document."""
    doors = Blueprint("openapi", __name__)
    found = document()

    @doors.get("/api/v1/openapi.json")
    def openapi() -> Response:
        return jsonify(found)

    return doors


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document as JSON values."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    errors = _object(error=_TEXT, mend={**_TEXT, "description": "what to do about it"})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Heapwatch collector", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**components(Evidence, Analysis), "Error": errors},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(route: Route) -> dict[str, Any]:
    in_path = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters = [{"name": n, "in": "path", "required": True, "schema": _TEXT} for n in in_path]
    parameters += [_argument(route, name) for name in route.arguments]
    failed = {
        "description": "refused",
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": _content(route.gives, route.answer)},
            "4XX": failed,
        },
    }
    if route.takes:
        operation["requestBody"] = {"required": True, "content": _content(route.takes, route.body)}
    return operation


def _argument(route: Route, name: str) -> dict[str, Any]:
    kind, text = _ARGUMENTS[name]
    if route.path.endswith("/ingest") and name == "name":
        return {
            "name": name,
            "in": "query",
            "required": True,
            "schema": _TEXT,
            "description": "Application name.",
        }
    schema = _list(_TEXT) if kind == "array" else {"type": kind}
    return {"name": name, "in": "query", "schema": schema, "description": text}


def _content(types: tuple[str, ...], schema: dict[str, Any] | None) -> dict[str, Any]:
    return {kind: {"schema": schema} if schema else {} for kind in types}
