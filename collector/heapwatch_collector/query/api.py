"""Our own JSON API: services, instances, metrics, sites, evidence, analyses, leaks."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request
from heapwatch_wire.evidence import Call, Site, to_json
from heapwatch_wire.sites import own_caller, responsible, site_id

from heapwatch_collector.context import Collector
from heapwatch_collector.errors import Refusal
from heapwatch_collector.query import endpoints, services
from heapwatch_collector.query.arguments import limit, step, time_range
from heapwatch_collector.store import catalog, documents
from heapwatch_collector.store.conditions import LATEST
from heapwatch_collector.store.endpoints import Window, increases, live_bytes
from heapwatch_collector.store.metrics import MetricSeries, metric_series
from heapwatch_collector.store.sites import SiteQuery, SiteSeries, site_series

_SITES = 200
_MOST_SITES = 5000


def answer(value: Any) -> Response:
    """`value` as JSON."""
    return Response(json.dumps(value, separators=(",", ":")), content_type="application/json")


def routes(collector: Collector) -> Blueprint:
    """The routes that are asked, below /api/v1."""
    doors = Blueprint("api", __name__, url_prefix="/api/v1")
    store = collector.store

    @doors.get("/services")
    def get_services() -> Response:
        found = catalog.processes(store, None, 0, LATEST)
        return answer({"services": services.describe(found, documents.analyses(store))})

    @doors.get("/services/<path:service>/instances")
    def get_instances(service: str) -> Response:
        asked = time_range(request.args)
        found = catalog.processes(store, service, asked.start, asked.end)
        return answer({"instances": [services.instance(p) for p in found]})

    @doors.get("/services/<path:service>/metrics")
    def get_metrics(service: str) -> Response:
        asked = time_range(request.args)
        found = metric_series(
            store,
            service,
            names=request.args.getlist("name"),
            instances=request.args.getlist("instance"),
            start=asked.start,
            end=asked.end,
            step=step(request.args),
        )
        return answer({"series": [_metric(series) for series in found]})

    @doors.get("/services/<path:service>/sites")
    def get_sites(service: str) -> Response:
        asked = time_range(request.args)
        version = request.args.get("version")
        most = limit(request.args, _SITES, _MOST_SITES)
        query = SiteQuery(service, version, asked.start, asked.end, most, step(request.args))
        interval, found = site_series(store, query)
        return answer({"interval": interval, "sites": [_site(series) for series in found]})

    @doors.get("/services/<path:service>/endpoints")
    def get_endpoints(service: str) -> Response:
        asked = time_range(request.args)
        width = step(request.args) or endpoints.step_of(asked.start, asked.end)
        version, chosen = request.args.get("version"), tuple(request.args.getlist("instance"))
        window = Window(service, version, asked.start, asked.end, width, chosen)
        return answer(endpoints.describe(increases(store, window), live_bytes(store, window), window))

    @doors.get("/services/<path:service>/evidence")
    def get_evidence(service: str) -> Response:
        found = documents.evidence(store, service, request.args.get("version"), request.args.get("site"))
        return answer({"documents": [{"instance": i, "evidence": e} for i, e in found]})

    @doors.get("/analyses")
    def get_analyses() -> Response:
        found = documents.analyses(store, request.args.get("service"), request.args.get("version"))
        return answer({"analyses": found})

    @doors.get("/leaks")
    def get_leaks() -> Response:
        found = documents.analyses(store, request.args.get("service"))
        leaks = [e for a in found for e in a.get("verdicts", ()) if e["verdict"] == "leak"]
        leaks.sort(key=lambda e: -e["growth"]["bytes_per_second"])
        return answer({"leaks": leaks})

    @doors.get("/leaks/<path:service>/<site_id>")
    def get_leak(service: str, site_id: str) -> Response:
        found = documents.analyses(store, service, request.args.get("version"))
        for evidence in (e for a in found for e in a.get("verdicts", ())):
            if evidence["site"]["id"] == site_id:
                return answer(evidence)
        raise Refusal(
            404,
            f"no verdict on site {site_id[:40]!r} of {service[:80]!r}",
            "see /api/v1/leaks for those there are",
        )

    return doors


def _metric(series: MetricSeries) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": series.name,
        "instance": series.instance,
        "version": series.version,
        "attributes": series.attributes,
    }
    if series.kind == "histogram":
        shown["points"] = [[time / 1000, count, total] for time, total, count, _ in series.points]
        shown["buckets"] = [series.bounds, [counts for *_, counts in series.points]]
    else:
        shown["points"] = [[time / 1000, value] for time, value, *_ in series.points]
    return shown


def _site(series: SiteSeries) -> dict[str, Any]:
    frame = responsible(series.stack)
    caller = own_caller(series.stack)
    site = Site(
        id=site_id(frame),
        function=frame.function,
        file=frame.file,
        line=frame.line,
        caller=Call.of(caller) if caller else None,
        stack=tuple(map(Call.of, series.stack)),
    )
    return {
        "site": to_json(site),
        "endpoints": [{"name": name, "share": share} for name, share in series.endpoints],
        "instances": {
            instance: [[time / 1000, size, objects] for time, size, objects in points]
            for instance, points in series.instances.items()
        },
    }
