"""The orientation of a picture file, as its EXIF block says."""

from __future__ import annotations

import re
from typing import Any

MARKER = re.compile(rb"\xff+([\xc0-\xfe])")
SIZES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}  # bytes of each integer type of EXIF


def read_orientation(data: bytes) -> int:
    """The EXIF orientation, 1 (upright) to 8, of a JPEG, PNG or WebP file's bytes; 1 if there is none or it is invalid.

    The service has the same rule. Decoders differ: OpenCV ignores a big-endian LONG.
    """
    tiff = _find_block(data).removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for at in range(first + 2, min(first + 2 + 12 * number(first, 2), len(tiff) - 11), 12):
        if number(at, 2) == 0x0112:
            orientation = number(at + 8, SIZES.get(number(at + 2, 2), 2))
            return orientation if 1 <= orientation <= 8 else 1
    return 1


def apply_orientation(pixels: Any, orientation: int) -> Any:
    """The upright view of an array [h, w] or [h, w, c] that is stored with that orientation; no copy."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]


def _find_block(data: bytes) -> bytes:
    """The EXIF block of a file; empty if it has none."""
    if data.startswith(b"\xff\xd8"):
        return _find_segment(data)
    if data.startswith(b"\x89PNG"):
        return _find_chunk(data, 8, b"eXIf")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _find_chunk(data, 12, b"EXIF")
    return b""


def _find_segment(data: bytes) -> bytes:
    at = 2
    while (found := MARKER.match(data, at)) and found[1] not in (b"\xd9", b"\xda"):
        at = found.end()
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if found[1] == b"\xe1" and data.startswith(b"Exif\0\0", at + 2):
            return data[at + 2 : end]
        at = end
    return b""


def _find_chunk(data: bytes, at: int, name: bytes) -> bytes:
    """A PNG's chunk is length, kind, data, checksum; a WebP's is kind, length, data of an even size."""
    png = name == b"eXIf"
    while at + 8 <= len(data):
        head = data[at : at + 8]
        length, kind = (int.from_bytes(head[:4], "big"), head[4:]) if png else (
            int.from_bytes(head[4:], "little"), head[:4])  # fmt: skip
        if kind == name:
            return data[at + 8 : at + 8 + length]
        at += 12 + length if png else 8 + length + length % 2
    return b""
