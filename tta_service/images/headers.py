"""Reads the headers of JPEG, PNG and WebP files before a decoder runs and before pixels are allocated.

Metadata of JPEG and PNG is removed, and padding before a JPEG's first scan, so that it neither costs time nor makes a
decoder fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..core.errors import BadImage

# Far more than cameras or editors write; each one costs time, even if it is small.
SCANS, CHUNKS, MARKERS, TAGS = 32, 20_000, 1000, 1000
PADDING = 1 << 16  # bytes of 0xFF before a marker
FIRST_SEGMENTS, MANY = 64, 16_000_000  # of a JPEG that are looked at for its size; pixels where it is not found there
BYTES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}  # sizes of EXIF's integer types
# An expression holds the interpreter until it has ended. So it is given a piece at a time, and none is tried again at a
# later byte of what it has read: runs of 0xFF would take their length squared.
PIECE = 1 << 18  # bytes
SCAN = re.compile(rb"(?:[^\xff]++|\xff[\0\xd0-\xd7])*+")  # stuffed zeros and restart markers are part of it
FILL = re.compile(rb"\xff{0,%d}+" % PADDING)  # like the other one, it matches at any byte, if nothing


@dataclass(frozen=True, slots=True)
class Header:
    """Size as stored, before the orientation is applied. `pixels` is the file; a JPEG or PNG is without metadata."""

    format: str
    width: int
    height: int
    orientation: int  # EXIF, 1 (upright) to 8
    pixels: bytes


def read_header(data: bytes) -> Header:
    """The header of a JPEG, PNG or WebP file. Raises `BadImage` for any other bytes."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except IndexError:
        raise BadImage("the image ends within its header", "image") from None
    raise BadImage("the image is neither a JPEG, a PNG nor a WebP file", "image")


def guess_pixels(data: bytes) -> int:
    """How many pixels a file has by its first bytes, `MANY` where those do not say. Nothing is checked."""
    try:
        if data.startswith(b"\x89PNG"):
            return int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])
        if data.startswith(b"RIFF"):
            width, height = _webp_size(data)
            return width * height
        at = 2
        for _ in range(FIRST_SEGMENTS):
            kind = data[at + 1]
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
                return (data[at + 5] << 8 | data[at + 6]) * (data[at + 7] << 8 | data[at + 8])
            at += 2 + (data[at + 2] << 8 | data[at + 3])
    except (IndexError, BadImage):
        pass
    return MANY


def read_orientation(exif: bytes) -> int:
    """The orientation tag of an EXIF block, of any integer type; 1 when it is missing or invalid."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for at in range(first + 2, min(first + 2 + 12 * min(number(first, 2), TAGS), len(tiff) - 11), 12):
        if number(at, 2) == 0x0112:
            orientation = number(at + 8, BYTES.get(number(at + 2, 2), 2))
            return orientation if 1 <= orientation <= 8 else 1
    return 1


def _jpeg(data: bytes) -> Header:
    size, exif, scans, start, before = None, b"", 0, 0, 2
    parts: list[bytes] = []
    for kind, marker, at, end in _segments(data):
        if not scans and marker > before:  # padding, over which Pillow would step byte by byte
            parts.append(data[start:before])
            start = marker
        before = end
        if kind in (*range(0xE1, 0xEE), 0xEF, 0xFE):  # application segments except JFIF's and Adobe's, and comments
            if kind == 0xE1 and data.startswith(b"Exif\0\0", at + 2):
                exif = data[at + 2 : end]
            parts.append(data[start:marker])
            start = end
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            size = data[at + 5] << 8 | data[at + 6], data[at + 3] << 8 | data[at + 4]
        elif kind == 0xDA and (scans := scans + 1) > SCANS:
            raise BadImage(f"the JPEG has more than {SCANS} scans", "image")
    if size is None:
        raise BadImage("the image ends within its header", "image")
    return Header("JPEG", *size, read_orientation(exif), b"".join([*parts, data[start:]]))


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The segments of a JPEG up to its end: kind, and where its marker, its length and what follows it begin."""
    at = markers = 0
    while markers <= MARKERS:
        before, at = at, SCAN.match(data, at, at + PIECE).end()  # type: ignore[union-attr]
        if at - before >= PIECE - 1:  # the rest may begin within a stuffed zero
            continue
        end = FILL.match(data, at).end()  # type: ignore[union-attr]
        if end in (at, len(data)):
            return
        kind, marker, at = data[end], end - 1, end + 1
        if kind == 0xFF:
            raise BadImage(f"the JPEG has more than {PADDING} bytes of padding before a marker", "image")
        if kind == 0xD9:
            return
        markers += 1
        if kind not in (0x00, 0x01, *range(0xD0, 0xD9)):  # stuffed after padding, and markers that stand alone
            end = at + (data[at] << 8 | data[at + 1])
            yield kind, marker, at, end
            at = end
    raise BadImage(f"the JPEG has more than {MARKERS} markers", "image")


def _png(data: bytes) -> Header:
    parts, exif, at = [data[:8]], b"", 8
    for _ in range(CHUNKS):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            parts.append(data[at:end])
        elif kind == b"eXIf":
            exif = data[at + 8 : end - 4]
        at = end
        if kind == b"IEND" or at >= len(data):
            break
    else:
        raise BadImage(f"the PNG has more than {CHUNKS} chunks", "image")
    width, height = (int.from_bytes(data[i : i + 4]) for i in (16, 20))
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise BadImage("the image ends within its header", "image")
    return Header("PNG", width, height, read_orientation(exif), b"".join(parts))


def _webp(data: bytes) -> Header:
    size = _webp_size(data)
    return Header("WebP", *size, _webp_orientation(data) if data[12:16] == b"VP8X" else 1, data)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if len(data) < 30:
        raise BadImage("the image ends within its header", "image")
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise BadImage("the WebP file has no picture", "image")


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in range(CHUNKS):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return read_orientation(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
        if at >= len(data):
            return 1
    raise BadImage(f"the WebP file has more than {CHUNKS} chunks", "image")
