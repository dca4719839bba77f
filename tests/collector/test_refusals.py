"""Bad input of every kind: a clear refusal, nothing stored, and the process goes on."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from heapwatch_collector.context import Collector
from heapwatch_collector.errors import Malformed, TooLarge, TooManyPoints
from heapwatch_collector.receive import bodies, otlp, pprof
from heapwatch_collector.store.batch import Batch
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.sites import SiteQuery, site_series
from heapwatch_collector.web_app import create_app
from heapwatch_wire.proto import Profile, PushRequest
from heapwatch_wire.settings import CollectorSettings
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

PUSH = "/push.v1.PusherService/Push"
PROTO = "application/proto"
OTLP = "application/x-protobuf"
JSON = "application/json"
QUERIER = "/querier.v1.QuerierService/"
LIMIT = 64 << 10
LIMITS = pprof.Limits(LIMIT, 86400.0)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A collector inside this process: thousands of requests without a socket each."""
    collector = Collector.open(
        CollectorSettings(data=str(tmp_path_factory.mktemp("data")), max_body=LIMIT, commit_interval=0.01)
    )
    client = create_app(collector).test_client()
    yield client
    assert stored(client) == {"services": []}
    collector.close()


def stored(app: FlaskClient) -> Any:
    return app.get("/api/v1/services").get_json()


def error(answer: Any) -> str:
    """The reason and the mend of a refusal, in the form of the route's protocol."""
    body = answer.get_json()
    return str(body.get("message") or f"{body['error']}: {body['mend']}")


def tampered(make_profile: Callable[..., Profile], change: Callable[[Profile], Any]) -> bytes:
    profile = make_profile([((("f", "a.py", 1),), (1, 2, 3, 4), {"endpoint": "/"})])
    change(profile)
    return profile.SerializeToString()


BROKEN: dict[str, tuple[Callable[[Profile], Any], str]] = {
    "string index": (lambda p: setattr(p.function[0], "name", 99), "string table has no entry 99"),
    "negative string index": (
        lambda p: setattr(p.sample_type[0], "type", -1),
        "string table has no entry -1",
    ),
    "location": (lambda p: p.sample[0].location_id.append(7), "location 7"),
    "function": (lambda p: setattr(p.location[0].line[0], "function_id", 9), "function 9"),
    "line": (lambda p: setattr(p.location[0].line[0], "line", -4), "-4 is not a line number"),
    "values": (lambda p: p.sample[0].value.append(1), "5 values for 4 sample types"),
    "negative value": (lambda p: p.sample[0].value.__setitem__(0, -1), "negative value -1"),
    "no types": (lambda p: p.ClearField("sample_type"), "0 sample types"),
    "future": (lambda p: setattr(p, "time_nanos", int((time.time() + 7200) * 1e9)), "in the future"),
    "past": (lambda p: setattr(p, "time_nanos", 10**18), "older than the retention"),
    "before 1970": (lambda p: setattr(p, "time_nanos", -(10**18)), "older than the retention"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_profile_that_contradicts_itself(app: FlaskClient, make_profile: Any, fault: str) -> None:
    change, reason = BROKEN[fault]
    good = make_profile([]).SerializeToString()
    # A good profile in the same request must not be stored either.
    samples = [{"raw_profile": good}, {"raw_profile": tampered(make_profile, change)}]
    labels = [{"name": "service_name", "value": "half"}]
    body = PushRequest(series=[{"labels": labels, "samples": samples}]).SerializeToString()
    answer = app.post(PUSH, data=body, content_type=PROTO)
    assert answer.status_code == 400
    assert reason in error(answer)
    assert answer.get_json()["code"] == "invalid_argument"
    assert stored(app) == {"services": []}


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status", "reason"),
    [
        (PUSH, PROTO, b"\xff\xff", 400, "not a push.v1.PushRequest"),
        (PUSH, JSON, b"{", 400, "not a push.v1.PushRequest"),
        (PUSH, JSON, b'{"series": 3}', 400, "not a push.v1.PushRequest"),
        (PUSH, "text/plain", b"", 415, "text/plain"),
        (PUSH, None, b"", 415, "missing"),
        (PUSH, PROTO, b"\0" * (LIMIT + 1), 413, "larger than 65536 bytes"),
        ("/ingest?name=a&format=pprof", None, b"no profile", 400, "not a pprof message"),
        ("/ingest?name=a&format=pprof", None, b"", 400, "empty"),
        ("/ingest?name=a&format=pprof", None, b"\x1f\x8bxx", 400, "gzip"),
        ("/ingest?name=a&format=jfr", None, b"", 415, "jfr"),
        ("/ingest?name=a", None, b"", 415, "folded"),
        ("/ingest?format=pprof", None, b"", 400, "not an application name"),
        ("/ingest?name=a{x}&format=pprof", None, b"", 400, "not a label"),
        ("/ingest?name=a&format=pprof&until=soon", None, b"", 400, "not a time"),
        ("/ingest?name=a", "multipart/form-data; boundary=x", b"--x--", 400, "no file 'profile'"),
        ("/v1/metrics", OTLP, b"\xff", 400, "not an OTLP metrics request"),
        ("/v1/metrics", JSON, b'{"resourceMetrics":3}', 400, "not an OTLP metrics request"),
        ("/v1/metrics", PROTO, b"", 415, PROTO),
        ("/api/v1/evidence", JSON, b"nope", 400, "not JSON"),
        ("/api/v1/evidence", JSON, b"{}", 400, "expected"),
        ("/api/v1/evidence", JSON, b'{"instance":"a","documents":[{}]}', 400, "Evidence: missing"),
        ("/api/v1/evidence", JSON, b'{"instance":NaN}', 400, "not JSON"),
        ("/api/v1/evidence", JSON, b"[" * 50_000, 400, "not JSON"),
        ("/api/v1/analyses", JSON, b"[]", 400, "expected a JSON object"),
        ("/api/v1/analyses", JSON, b'{"service":1}', 400, "Analysis"),
        ("/api/v1/analyses", "text/json", b"{}", 415, "text/json"),
        (QUERIER + "ProfileTypes", "text/plain", b"", 415, "text/plain"),
        (QUERIER + "ProfileTypes", PROTO, b"\xff", 400, "querier.v1.ProfileTypesRequest"),
        (QUERIER + "SelectHeatmap", PROTO, b"", 501, "SelectHeatmap is not implemented"),
        (QUERIER + "SelectSeries", JSON, b'{"profileTypeID":"x"}', 400, "not a profile"),
        (
            QUERIER + "SelectSeries",
            JSON,
            b'{"profileTypeID":"a:b:c:d:e","start":"0","end":"1795000000000","step":1}',
            400,
            "too many points",
        ),
        (
            QUERIER + "SelectMergeStacktraces",
            JSON,
            b'{"profileTypeID":"a:b:c:d:e","labelSelector":"{a=~\\"(\\"}"}',
            400,
            "regular expression",
        ),
    ],
)
def test_refusals(
    app: FlaskClient, path: str, content_type: str, body: bytes, status: int, reason: str
) -> None:
    answer = app.post(path, data=body, content_type=content_type)
    assert (answer.status_code, reason in error(answer)) == (status, True), error(answer)
    assert stored(app) == {"services": []}


@pytest.mark.parametrize(
    "query",
    ["start=x", "end=-1", "start=20&end=10", "step=-1", "step=nan", "limit=0", "limit=1e9", "start=inf"],
)
def test_arguments_are_checked(app: FlaskClient, query: str) -> None:
    answer = app.get(f"/api/v1/services/x/sites?{query}")
    assert answer.status_code == 400, query
    assert query.partition("=")[0] in error(answer)


def test_an_answer_without_measure_is_refused() -> None:
    """A million points: a year of one instance's pushes, made by a store that counts them only."""

    class Year:
        def rows(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
            if "FROM profiles" in sql and "max(period)" in sql:
                return [("i", time, 65536) for time in range(600_000)]
            return [(1, 2.0, 3.0), (2, 2.0, 3.0)]

    with pytest.raises(TooManyPoints, match="more than 1000000 points"):
        site_series(cast(Store, Year()), SiteQuery("s", None, 0, 1, 200))


def test_wrong_methods_and_paths(app: FlaskClient) -> None:
    answer = app.get(PUSH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")
    assert app.put("/api/v1/leaks").status_code == 405
    missing = app.get("/api/v1/nothing")
    assert (missing.status_code, "openapi.json" in error(missing)) == (404, True)
    assert app.get("/api/v1/leaks/x/0123").status_code == 404


def test_compressed_bodies(app: FlaskClient) -> None:
    def post(body: bytes, encoding: str) -> tuple[int, str]:
        answer = app.post(PUSH, data=body, content_type=PROTO, headers={"Content-Encoding": encoding})
        return answer.status_code, error(answer) if answer.status_code != 200 else ""

    whole = gzip.compress(b"\x0a\x00")
    assert post(whole, "gzip")[0] == 200
    assert post(whole[:-4], "gzip") == (400, "the gzip data end too early: send the whole gzip stream")
    assert "broken" in post(b"plain", "gzip")[1]
    assert "broken" in post(whole[:-5] + b"\0" + whole[-4:], "gzip")[1]
    assert post(whole, "zstd")[0] == 415
    status, reason = post(gzip.compress(b"\0" * (LIMIT * 50)), "gzip")
    assert (status, "decompressed" in reason) == (413, True)


def test_a_small_body_can_not_unpack_to_many_large_profiles(app: FlaskClient) -> None:
    bomb = gzip.compress(Profile(string_table=["x" * (LIMIT - 100)]).SerializeToString())
    good_types = [{"raw_profile": bomb} for _ in range(20)]
    body = PushRequest(series=[{"samples": good_types}]).SerializeToString()
    assert app.post(PUSH, data=body, content_type=PROTO).status_code in (400, 413)


def test_another_sites_page_may_not_write(app: FlaskClient) -> None:
    answer = app.post("/ingest?name=a&format=pprof", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert app.get("/api/v1/leaks", headers={"Origin": "http://localhost"}).status_code == 200


def test_a_page_whose_name_resolves_to_us_may_not_read(app: FlaskClient) -> None:
    for host in ("127.0.0.1:4040", "localhost", "[::1]:4040"):
        assert app.get("/api/v1/leaks", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example:4040", "127.0.0.1.evil.example", ""):
        assert app.get("/api/v1/leaks", headers={"Host": host}).status_code in (400, 403), host


@given(st.binary(max_size=200), st.integers(0, 300))
def test_gunzip_is_exact_or_refuses(data: bytes, cut: int) -> None:
    packed = gzip.compress(data) + gzip.compress(data)
    assert bodies.gunzip(packed, 400) == data * 2
    if 0 < cut < len(packed) and cut != len(packed) // 2:
        with pytest.raises(Malformed):
            bodies.gunzip(packed[:cut], 400)
    if len(data) > 1:
        with pytest.raises(TooLarge):
            bodies.gunzip(packed, len(data) - 1)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_profile(data: bytes) -> None:
    read_profile(data)


@given(st.data())
def test_a_profile_with_flipped_bytes(make_profile: Any, data: st.DataObject) -> None:
    body = bytearray(tampered(make_profile, lambda profile: None))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)))):
        body[place] = value
    read_profile(bytes(body))


def read_profile(data: bytes) -> None:
    """Decode `data`; only refusals may come out, and a batch that is accepted can be stored."""
    batch = Batch(1)
    try:
        pprof.add_profile(batch, pprof.decode(data, LIMIT), pprof.series_of({"service_name": "s"}), LIMITS)
    except (Malformed, TooLarge):
        return
    batch.tables()


@given(st.data())
def test_any_bytes_as_metrics(make_metrics: Any, data: st.DataObject) -> None:
    good = make_metrics({"process.memory.usage": 1.0}, 0)
    body = bytearray(data.draw(st.one_of(st.just(good), st.binary(max_size=300))))
    if body:
        for place, value in data.draw(
            st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)))
        ):
            body[place] = value
    batch = Batch(1)
    try:
        otlp.add_metrics(batch, otlp.decode(bytes(body), OTLP), LIMITS)
    except Malformed:
        return
    batch.tables()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.sampled_from(["/api/v1/evidence", "/api/v1/analyses", "/v1/metrics", PUSH]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("instance", "documents", "service", "series", "resourceMetrics", "time"), JSON_VALUES
        ),
    ),
)
def test_any_json_is_answered(app: FlaskClient, path: str, value: Any) -> None:
    answer = app.post(path, data=json.dumps(value), content_type=JSON)
    assert answer.status_code in (200, 400)


def test_text_that_is_not_unicode_is_refused(app: FlaskClient) -> None:
    metric = b'{"name":"\\ud800","gauge":{"dataPoints":[{"asInt":1}]}}'
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[' + metric + b"]}]}]}"
    assert app.post("/v1/metrics", data=body, content_type=JSON).status_code == 400
    assert stored(app) == {"services": []}


def test_what_otlp_can_not_be_kept_is_said_by_point(app: FlaskClient) -> None:
    now = int(time.time() * 1e9)
    points = [{"time_unix_nano": now, "as_int": 1}, {"time_unix_nano": now, "as_int": 2}]
    delta = {"name": "d", "sum": {"aggregation_temporality": 1, "data_points": points}}
    body = ExportMetricsServiceRequest(resource_metrics=[{"scope_metrics": [{"metrics": [delta]}]}])
    answer = app.post("/v1/metrics", data=body.SerializeToString(), content_type=OTLP)
    said = otlp.ExportMetricsServiceResponse.FromString(answer.data).partial_success
    assert (answer.status_code, said.rejected_data_points) == (200, 2)
    assert "TEMPORALITY_PREFERENCE=cumulative" in said.error_message
