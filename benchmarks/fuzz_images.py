"""Pictures for fuzz.py: real ones of every format that is taken, with their metadata, and changes of them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image

EXTREMES = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80",
    b"\0\0",
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xfe",
)


@cache
def whole() -> tuple[bytes, ...]:
    """Small pictures: JPEG of each kind, PNG of each mode, WebP of each kind, with EXIF, ICC, comments, animation."""
    draw = np.random.default_rng(3)
    photo = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((48, 36), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "a description", {0x9286: b"ASCII\0\0\0comment"}
    jpegs = [
        _encode(photo, "JPEG"),
        _encode(photo, "JPEG", progressive=True, quality=70),
        _encode(photo, "JPEG", exif=exif, comment=b"said", icc_profile=bytes(200), dpi=(72, 72)),
        _encode(photo.convert("L"), "JPEG", optimize=True),
        _encode(photo.convert("CMYK"), "JPEG"),
        _encode(photo, "JPEG", subsampling=0, restart_marker_blocks=1),
    ]
    modes = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
    pngs = [
        _encode(photo.convert("L").convert(one) if one in ("1", "I;16") else photo.convert(one), "PNG") for one in modes
    ]
    pngs.append(_encode(photo, "PNG", exif=exif, dpi=(72, 72)))
    frames = [photo.rotate(90 * turn) for turn in range(3)]
    moving = {"save_all": True, "append_images": frames}
    webps = [
        _encode(photo, "WEBP"),
        _encode(photo, "WEBP", lossless=True),
        _encode(photo.convert("RGBA"), "WEBP", exif=exif, icc_profile=bytes(200)),
        _encode(photo, "WEBP", **moving),
        _encode(photo, "PNG", **moving),
    ]
    return (*jpegs, *pngs, *webps)


def _encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some changed, cut, doubled, moved, or extreme; a PNG's checksums are made right again by turns."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        size = len(changed)
        at, length = chance.randrange(size + 1), chance.choice((1, 2, 4, 16, 64))
        match chance.randrange(7):
            case 0 if size:
                changed[at % size] ^= 1 << chance.randrange(8)
            case 1:
                extreme = chance.choice(EXTREMES)
                changed[at : at + len(extreme)] = extreme
            case 2:
                changed[at:at] = chance.choice(EXTREMES) * chance.choice((1, 2, 100))
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[chance.randrange(size + 1) :][:length]
            case 5 if chance.random() < 0.3:
                del changed[at:]
            case _:
                early = chance.randrange(min(size, 64) or 1)
                changed[early : early + 1] = bytes((chance.randrange(256),))
    out = bytes(changed)
    return with_checksums(out) if out.startswith(b"\x89PNG") and chance.random() < 0.6 else out


def with_checksums(png: bytes) -> bytes:
    """The chunks as they are, each with its right sum: else a decoder looks no further."""
    parts, at = [png[:8]], 8
    while at + 12 <= len(png) and len(parts) < 1000:
        length = struct.unpack_from(">I", png, at)[0]
        body = png[at + 4 : at + 8 + length]
        parts.append(png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*parts, png[at:]])
