"""Base64 in texts: the same rule for short and long ones, at every door."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from ..core.errors import BadRequest

PIECE = 128 << 10  # characters that are decoded at once: other threads wait meanwhile


def decode_base64(text: bytes | str, path: str, *, escaped: bool = False) -> bytes:
    """Base64 in either alphabet, with or without padding; in JSON that is not read yet slashes may be `escaped`.

    Raises `BadRequest` that names `path` for anything else, line breaks too.
    """
    given = text.encode(errors="replace") if isinstance(text, str) else text
    try:
        pieces = _pieces(given.rstrip(b"="), escaped)
        return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    except binascii.Error as error:
        raise BadRequest(f"this is not base64: {error}", path) from None


def _pieces(text: bytes, escaped: bool) -> Iterator[bytes]:
    """The text in the usual alphabet and without JSON's escapes of slashes, in pieces that can be decoded alone."""
    rest = escape = b""
    for at in range(0, len(text), PIECE):
        given = escape + text[at : at + PIECE]
        if escaped:
            escape = given[-1:] if given.endswith(b"\\") else b""  # its slash is in the next piece
            given = given.removesuffix(b"\\").replace(b"\\/", b"/")
        piece = rest + given.replace(b"-", b"+").replace(b"_", b"/")
        end = len(piece) // 4 * 4
        yield piece[:end]
        rest = piece[end:]
    yield rest + escape + b"=" * (-len(rest) % 4)
