"""How much memory a request may hold, by endpoint."""

from __future__ import annotations

from fnmatch import fnmatchcase

from heapwatch_wire.config import ConfigError, size

MAX_KNOWN = 2000


class RequestLimits:
    """`usual` bytes, but for endpoints in `exceptions`, as the setting request_limits has them. 0: no limit.

    ConfigError when `exceptions` can't be read.
    """

    def __init__(self, usual: int, exceptions: str) -> None:
        self._usual = usual
        self._exceptions = [_exception(part) for part in exceptions.split(",") if part.strip()]
        self._known: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._usual or any(limit for _, limit in self._exceptions))

    def of(self, endpoint: str) -> int:
        """The limit of requests to `endpoint`, such as "GET /export"."""
        limit = self._known.get(endpoint)
        if limit is None:
            found = (limit for pattern, limit in self._exceptions if fnmatchcase(endpoint, pattern))
            limit = next(found, self._usual)
            if len(self._known) < MAX_KNOWN:
                self._known[endpoint] = limit
        return limit


def _exception(text: str) -> tuple[str, int]:
    pattern, _, limit = text.rpartition("=")
    try:
        return pattern.strip(), size(limit)
    except ValueError:
        raise ConfigError(
            f"request_limits={text.strip()!r}: expected an endpoint and a size, such as GET /export=2GiB"
        ) from None
