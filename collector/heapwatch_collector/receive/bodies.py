"""Request bodies: read and decompressed within the limit."""

from __future__ import annotations

import zlib

from flask import Request

from heapwatch_collector.errors import Malformed, Refusal, TooLarge

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 16


def read(request: Request, limit: int) -> bytes:
    """The body, decompressed as its Content-Encoding says.

    Raises TooLarge above `limit` bytes before or after decompression, Malformed for broken gzip, and
    Refusal (415) for an unknown encoding.
    """
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(limit)
    body = request.stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(limit)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding == "gzip":
        return gunzip(body, limit)
    raise Refusal(415, f"content encoding {encoding!r} is not read here", "send gzip, or nothing compressed")


def gunzip(data: bytes, limit: int) -> bytes:
    """`data` decompressed; never holds more than `limit` bytes and a little.

    Raises Malformed for anything but whole gzip members, TooLarge above `limit`.
    """
    parts: list[bytes] = []
    size = 0
    while data:
        inflater = zlib.decompressobj(wbits=31)
        try:
            while not inflater.eof:
                part = inflater.decompress(data, _CHUNK)
                data = inflater.unconsumed_tail
                size += len(part)
                if size > limit:
                    raise TooLarge(limit)
                parts.append(part)
                if not part and not data and not inflater.eof:
                    raise Malformed("the gzip data end too early", "send the whole gzip stream")
        except zlib.error as error:
            raise Malformed(f"the gzip data are broken: {error}", "compress the body with gzip") from None
        data = inflater.unused_data
    return b"".join(parts)


def content_type(request: Request) -> str:
    """The media type without its parameters, in lower case."""
    return (request.content_type or "").partition(";")[0].strip().lower()
