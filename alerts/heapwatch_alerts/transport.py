"""HTTP, as much as alerts need: GET with a token, POST of JSON, both bounded in time and size."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT = 5.0
MAX_BYTES = 64 << 20


class TransportError(Exception):
    """No usable answer; the message names the address and says why."""


class RefusedError(TransportError):
    """The other side answered, but not with 2xx."""


def get(address: str, token: str) -> bytes:
    """The body at `address`, an http or https address."""
    return _body(urllib.request.Request(address), token)


def post(address: str, document: Any) -> None:
    """POST `document` as JSON."""
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    _body(urllib.request.Request(address, body, headers), "")


def _body(request: urllib.request.Request, token: str) -> bytes:
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise RefusedError(f"{request.full_url}: {error}") from error
    except (OSError, ValueError) as error:
        raise TransportError(f"{request.full_url}: {error}") from error
    if len(body) > MAX_BYTES:
        raise TransportError(f"{request.full_url}: longer than {MAX_BYTES >> 20} MiB")
    return body
