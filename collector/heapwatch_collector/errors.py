"""What is answered when a request can't be served: a status, the reason, and what the sender can do."""

from __future__ import annotations


class Refusal(Exception):
    """Answer `status` with `reason`; `mend` says what to change; `code` is the Connect protocol's error code.

    `retry_after`: seconds after which the same request may succeed.
    """

    def __init__(
        self, status: int, reason: str, mend: str, code: str = "", retry_after: int | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.mend = mend
        self.code = code or CONNECT_CODES.get(status, "unknown")
        self.retry_after = retry_after


CONNECT_CODES = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    405: "unimplemented",
    413: "resource_exhausted",
    415: "invalid_argument",
    429: "resource_exhausted",
    500: "internal",
    501: "unimplemented",
    503: "unavailable",
}


class Malformed(Refusal):
    """The body can't be read as what it says it is."""

    def __init__(self, reason: str, mend: str = "send what the format's definition asks for") -> None:
        super().__init__(400, reason, mend)


class TooLarge(Refusal):
    """A body above the limit, as sent or when decompressed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            413,
            f"the body is larger than {limit} bytes, as sent or decompressed",
            "send less at once, or raise HEAPWATCH_MAX_BODY",
        )


MOST_POINTS = 1_000_000


class TooManyPoints(Refusal):
    """An answer of more than MOST_POINTS points, which neither side could hold comfortably."""

    def __init__(self) -> None:
        super().__init__(
            400,
            f"the answer would have more than {MOST_POINTS} points",
            "ask with a step, or for a shorter range",
        )


class WrongType(Refusal):
    """A content type that the route doesn't read."""

    def __init__(self, found: str, accepted: str) -> None:
        super().__init__(415, f"content type {found or 'missing'!r} is not read here", f"send {accepted}")
