"""push.v1.PushRequest of the Pyroscope API, with the standard library."""

from __future__ import annotations

from collections.abc import Mapping

from heapwatch_wire.protobuf import Writer

PATH = "/push.v1.PusherService/Push"
CONTENT_TYPE = "application/proto"


def encode(labels: Mapping[str, str], pprof: bytes, identifier: str = "") -> bytes:
    """A request of one series with one profile. `pprof` may be gzipped; `identifier` is a UUID."""
    series = Writer()
    for name, value in sorted(labels.items()):
        series.message(1, Writer().text(1, name).text(2, value))
    series.message(2, Writer().data(1, pprof).text(2, identifier))
    return bytes(Writer().message(1, series))
