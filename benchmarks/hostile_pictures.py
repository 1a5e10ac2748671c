"""Pictures and messages that cost a careless server more than they cost their sender."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from google.protobuf.struct_pb2 import Struct
from PIL import Image
from tta_client.v1 import tta_pb2 as pb

NAMES = ("cat", "dog", "house")
MOST = 8_388_000  # bytes of an image that the server takes


def picture(seed: int = 0) -> bytes:
    """What a small camera sends."""
    return photograph(320, 240, seed)


def photograph(width: int, height: int, seed: int = 0, **options: object) -> bytes:
    """A JPEG of smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def runs_of_ff() -> bytes:
    """A JPEG with 8 MB of padding before a marker."""
    good = photograph(320, 240)
    return good[:2] + b"\xff" * (MOST - len(good)) + good[2:]


def comments() -> bytes:
    """A JPEG with two million empty comments."""
    good = photograph(320, 240)
    return good[:2] + b"\xff\xfe\0\2" * 2_000_000 + good[2:]


def many_scans(scans: int = 99) -> bytes:
    """A progressive JPEG of 4 megapixels whose last scan is there again and again."""
    good = photograph(2560, 1600, progressive=True, quality=60)
    last, end = good.rfind(b"\xff\xda"), good.rfind(b"\xff\xd9")
    more = max(0, min(scans - good.count(b"\xff\xda"), (MOST - len(good)) // (end - last)))
    return good[:end] + good[last:end] * more + good[end:]


def empty_png(side: int = 4000) -> bytes:
    """16 megapixels of black in 47 kB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(bytes((side * 3 + 1) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def nulls(count: int = 1_500_000) -> bytes:
    """A `ClassifyRequest` whose strategy has a parameter of so many nulls, as bytes: the message would be gigabytes."""
    values = b"\x0a\x02\x08\x00" * count  # ListValue.values, each a null_value
    value = _field(6, values)  # Value.list_value
    entry = _field(1, b"views") + _field(2, value)
    choice = _field(1, b"zero") + _field(2, _field(1, entry))
    options = _field(1, choice)
    request = pb.ClassifyRequest(image=pb.Image(encoded=photograph(64, 64)))
    request.labels.label_set.names.extend(["cat", "dog"])
    return request.SerializeToString() + _field(3, options)


def deep(levels: int = 90) -> Struct:
    """Lists in lists, as deep as the protobuf parser allows."""
    whole, at = Struct(), Struct().fields["x"]
    at = whole.fields["views"]
    for _ in range(levels // 2):
        at = at.list_value.values.add()
    return whole


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
