"""Which trace a request belongs to: the host's span with OpenTelemetry, else the one its header names."""

from __future__ import annotations

import re
import sys

from heapwatch.instrument.distribution import Trace

_TRACEPARENT = re.compile(r"[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f][13579bdf](?:-.*)?")


def trace_of(traceparent: str | None) -> Trace | None:
    """The span that is current now, else the one that the header names; None when it isn't sampled."""
    # The API alone, without an SDK, has spans that say nothing and cost as much.
    if "opentelemetry.sdk.trace" in sys.modules:
        trace = sys.modules["opentelemetry.trace"]
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            if not context.trace_flags.sampled:
                return None
            return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}")
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return Trace(found[1], found[2]) if found else None
