"""Bodies that are compressed with gzip or deflate."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers

from ..core.errors import BadRequest, TooLarge
from ..core.parameters import shorten

ENCODING = "Content-Encoding"
FORMATS = {"gzip": 31, "deflate": 15}  # zlib's number for each
EITHER = 47
LEAST = 1 << 10  # bytes of an answer that are worth it
LEVEL = 1


def encoding_of(headers: Headers) -> str:
    """How the body is compressed, "" for not at all. Raises `BadRequest`."""
    given = headers.get("content-encoding", "").strip().lower()
    if given not in ("", "identity", *FORMATS):
        raise BadRequest(f"{shorten(given)} is not read here; gzip and deflate are", ENCODING)
    return given if given in FORMATS else ""


def decompress(body: bytes, most: int) -> bytes:
    """What was compressed, at most so many bytes. Raises `BadRequest`, `TooLarge`."""
    reader = zlib.decompressobj(EITHER)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error:
        raise BadRequest("the body is not compressed as it says", ENCODING) from None
    if len(plain) > most:
        raise TooLarge(f"the body has more than {most} bytes when it is decompressed")
    if not reader.eof or reader.unused_data:
        raise BadRequest("the compressed body ends too early or too late", ENCODING)
    return plain


def wanted_encoding(headers: Headers) -> str:
    """The compression that the caller accepts for the answer, "" for none."""
    for choice in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = choice.partition(";")
        if name.strip() in FORMATS and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return name.strip()
    return ""


def compress(body: bytes, encoding: str) -> bytes:
    """The body, compressed."""
    writer = zlib.compressobj(LEVEL, wbits=FORMATS[encoding])
    return writer.compress(body) + writer.flush()
