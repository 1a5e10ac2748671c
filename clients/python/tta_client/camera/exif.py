"""Which way up a picture file is: what its EXIF says, in whichever way it is written."""

from __future__ import annotations

import re
from typing import Any

MARKER = re.compile(rb"\xff+([\xc0-\xfe])")
BYTES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}  # of the types of EXIF that are integers


def orientation(data: bytes) -> int:
    """1 (upright) to 8, of the bytes of a JPEG, PNG or WebP file; 1 when it does not say, or nothing that makes sense.

    By the service's own rule, which decoders do not share: OpenCV takes a big-endian LONG for nothing.
    """
    tiff = _block(data).removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for at in range(first + 2, min(first + 2 + 12 * number(first, 2), len(tiff) - 11), 12):
        if number(at, 2) == 0x0112:
            turn = number(at + 8, BYTES.get(number(at + 2, 2), 2))
            return turn if 1 <= turn <= 8 else 1
    return 1


def upright(pixels: Any, turn: int) -> Any:
    """An array [h, w] or [h, w, c] that is stored with that orientation, as a person sees it; a view of the same."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if turn in (3, 4, 7, 8) else 1, :: -1 if turn in (2, 3, 6, 7) else 1]


def _block(data: bytes) -> bytes:
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return _chunk(data, 8, b"eXIf")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _chunk(data, 12, b"EXIF")
    return b""


def _of_jpeg(data: bytes) -> bytes:
    at = 2
    while (found := MARKER.match(data, at)) and found[1] not in (b"\xd9", b"\xda"):
        at = found.end()
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if found[1] == b"\xe1" and data.startswith(b"Exif\0\0", at + 2):
            return data[at + 2 : end]
        at = end
    return b""


def _chunk(data: bytes, at: int, wanted: bytes) -> bytes:
    """A PNG's chunks begin with their length, and end with a checksum; a WebP's begin with their kind, and are even."""
    png = wanted == b"eXIf"
    while at + 8 <= len(data):
        head = data[at : at + 8]
        length, kind = (int.from_bytes(head[:4], "big"), head[4:]) if png else (
            int.from_bytes(head[4:], "little"), head[:4])  # fmt: skip
        if kind == wanted:
            return data[at + 8 : at + 8 + length]
        at += 12 + length if png else 8 + length + length % 2
    return b""
