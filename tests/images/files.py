"""Image files as cameras, editors and attackers make them."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image


def photo(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """Smooth colours, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / max(1, width - 1), 255 * y / max(1, height - 1)
    blue = 127 + 120 * np.sin(x / 7) * np.cos(y / 5)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8)).convert(mode)


def encode(picture: Image.Image, format: str, **how) -> bytes:
    file = BytesIO()
    picture.save(file, format, **how)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, content: bytes, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """A PNG from its parts: `content` is deflated as it is, even if the header does not match."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(content, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def exif(orientation: int, order: str = "<", type: str = "H") -> bytes:
    """`type` of the tag's value, as `struct` spells it: H is SHORT, as the norm has it; some write I, LONG."""
    number = {"B": 1, "H": 3, "I": 4, "b": 6, "h": 8, "i": 9}[type]
    entry = struct.pack(order + "HHI", 0x0112, number, 1) + struct.pack(order + type, orientation).ljust(4, b"\0")
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 7)  # the tag is not the first
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2) + other + entry + bytes(4)
