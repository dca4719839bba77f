"""querier.v1.QuerierService of the Pyroscope API, as Grafana's data source calls it.

The Connect protocol's unary calls: a protobuf or JSON message in, the same kind out; errors are JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, request
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from heapwatch_wire import proto

from heapwatch_collector.context import Collector
from heapwatch_collector.errors import Malformed, Refusal, WrongType
from heapwatch_collector.query import selector
from heapwatch_collector.query.flamegraph import DEFAULT_NODES, flame_graph, flame_graph_diff
from heapwatch_collector.query.merged import to_pprof
from heapwatch_collector.receive import bodies
from heapwatch_collector.store import profiles
from heapwatch_collector.store.conditions import LATEST
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.profiles import SAMPLE_LABELS, Selection

_PROTO = "application/proto"
_JSON = "application/json"
_MAX_POINTS = 11_000


def routes(collector: Collector) -> Blueprint:
    """One route for all methods: they differ in their messages only."""
    doors = Blueprint("querier", __name__)

    @doors.post("/querier.v1.QuerierService/<method>")
    def call(method: str) -> Response:
        if method not in METHODS:
            raise Refusal(501, f"{method} is not implemented", "see /api/v1/openapi.json for what is")
        kind, answer = METHODS[method]
        message = kind()
        content_type = _read(message, collector.settings.max_body)
        return _write(answer(collector.store, message), content_type)

    return doors


def _read(message: Message, limit: int) -> str:
    """Fill `message` from the request; its content type, which the answer must have too."""
    content_type = bodies.content_type(request)
    if content_type not in (_PROTO, _JSON):
        raise WrongType(content_type, f"{_PROTO} or {_JSON}")
    body = bodies.read(request, limit)
    try:
        if content_type == _JSON:
            json_format.Parse(body or b"{}", message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a {message.DESCRIPTOR.full_name}: {error}"[:300]) from None
    return content_type


def _write(message: Message, content_type: str) -> Response:
    if content_type == _JSON:
        return Response(json_format.MessageToJson(message, indent=None), content_type=_JSON)
    return Response(message.SerializeToString(), content_type=_PROTO)


def _profile_types(store: Store, asked: Any) -> Message:
    types = profiles.profile_types(store, *_range(asked))
    names = ("name", "sample_type", "sample_unit", "period_type", "period_unit")
    return proto.ProfileTypesResponse(
        profile_types=[{"ID": found, **dict(zip(names, found.split(":"), strict=True))} for found in types]
    )


def _label_names(store: Store, asked: Any) -> Message:
    sets = _label_sets(store, asked)
    names = {name for labels in sets for name in labels}
    return proto.LabelNamesResponse(names=sorted(names | set(SAMPLE_LABELS) if sets else names))


def _label_values(store: Store, asked: Any) -> Message:
    if asked.name in SAMPLE_LABELS:
        values = profiles.sample_label_values(store, asked.name, _selectors(store, asked), *_range(asked))
    else:
        values = sorted(
            {labels[asked.name] for labels in _label_sets(store, asked) if labels.get(asked.name)}
        )
    return proto.LabelValuesResponse(names=values)


def _series(store: Store, asked: Any) -> Message:
    wanted = set(asked.label_names)
    sets = {
        tuple(sorted((k, v) for k, v in labels.items() if not wanted or k in wanted))
        for labels in _label_sets(store, asked)
    }
    return proto.SeriesResponse(labels_set=[{"labels": _pairs(labels)} for labels in sorted(sets) if labels])


def _select_merge_stacktraces(store: Store, asked: Any) -> Message:
    stacks = profiles.stack_totals(store, _selection(store, asked))
    graph = flame_graph(stacks, _max_nodes(asked), _call_site(asked))
    return proto.SelectMergeStacktracesResponse(flamegraph=graph)


def _select_merge_profile(store: Store, asked: Any) -> Message:
    _refuse_call_site(asked)
    selection = _selection(store, asked)
    return to_pprof(selection.type, profiles.stack_totals(store, selection), selection.end)


def _select_series(store: Store, asked: Any) -> Message:
    _refuse_call_site(asked)
    selection = _selection(store, asked)
    if not 0.001 <= asked.step <= 1e9 or (selection.end - selection.start) / 1000 / asked.step > _MAX_POINTS:
        raise Malformed(
            f"step={asked.step:g} gives too many points",
            f"ask for at most {_MAX_POINTS} steps of at least 1 ms",
        )
    group_by = [name for name in asked.group_by if name]
    average = profiles.is_state(selection.type) or (
        asked.HasField("aggregation") and asked.aggregation == proto.TIME_SERIES_AGGREGATION_TYPE_AVERAGE
    )
    found = profiles.values_over_time(store, selection, round(asked.step * 1000), group_by, average)
    if asked.limit > 0:
        found = sorted(found, key=lambda group: -sum(v for _, v in group[1]))[: asked.limit]
    return proto.SelectSeriesResponse(
        series=[
            {
                "labels": _pairs([(n, v) for n, v in zip(group_by, values, strict=False) if v]),
                "points": [{"timestamp": t, "value": v} for t, v in points],
            }
            for values, points in found
        ]
    )


def _diff(store: Store, asked: Any) -> Message:
    left, right = (
        profiles.stack_totals(store, _selection(store, side)) for side in (asked.left, asked.right)
    )
    graph = flame_graph_diff(left, right, _max_nodes(asked.left))
    return proto.DiffResponse(flamegraph=graph)


METHODS: dict[str, tuple[type[Message], Callable[[Store, Any], Message]]] = {
    "ProfileTypes": (proto.ProfileTypesRequest, _profile_types),
    "LabelNames": (proto.LabelNamesRequest, _label_names),
    "LabelValues": (proto.LabelValuesRequest, _label_values),
    "Series": (proto.SeriesRequest, _series),
    "SelectMergeStacktraces": (proto.SelectMergeStacktracesRequest, _select_merge_stacktraces),
    "SelectMergeProfile": (proto.SelectMergeProfileRequest, _select_merge_profile),
    "SelectSeries": (proto.SelectSeriesRequest, _select_series),
    "Diff": (proto.DiffRequest, _diff),
}


def _range(asked: Any) -> tuple[int, int]:
    """[start, end] in Unix ms; without either it is everything."""
    start, end = max(0, min(asked.start, LATEST)), min(asked.end, LATEST)
    if start > end and end:
        raise Malformed(f"start={asked.start} is after end={asked.end}", "send times in Unix milliseconds")
    return start, end or LATEST


def _selection(store: Store, asked: Any) -> Selection:
    type_id = asked.profile_typeID
    if type_id.count(":") != 4:
        raise Malformed(
            f"profileTypeID={type_id[:200]!r} is not a profile type",
            "write name:sample_type:sample_unit:period_type:period_unit",
        )
    start, end = _range(asked)
    return Selection(type_id, _matchers(store, asked.label_selector), start, end)


def _matchers(store: Store, text: str) -> tuple[selector.Matcher, ...]:
    """The matchers of a selector, their regular expressions compiled once: a query may never come to them."""
    matchers = selector.parse(text)
    for matcher in matchers:
        if matcher.op in ("=~", "!~"):
            store.rows("SELECT match('', {expression:String})", {"expression": matcher.value})
    return matchers


def _label_sets(store: Store, asked: Any) -> list[dict[str, str]]:
    return profiles.label_sets(store, _selectors(store, asked), *_range(asked))


def _selectors(store: Store, asked: Any) -> list[tuple[selector.Matcher, ...]]:
    return [_matchers(store, text) for text in asked.matchers]


def _max_nodes(asked: Any) -> int:
    return asked.max_nodes if asked.HasField("max_nodes") and asked.max_nodes > 0 else DEFAULT_NODES


def _call_site(asked: Any) -> Sequence[str]:
    return [call.name for call in asked.stack_trace_selector.call_site]


def _refuse_call_site(asked: Any) -> None:
    if _call_site(asked):
        reason = "stack_trace_selector is read by SelectMergeStacktraces only"
        raise Refusal(501, reason, "leave it out, or ask for the merged stacks")


def _pairs(labels: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in labels]
