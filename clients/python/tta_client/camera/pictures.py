"""Reads pictures as the service does: upright, eight bits a channel. Needs OpenCV, and Pillow for files."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from ..types.frames import read_file
from ..types.pixels import to_pixels, to_uint8

FILES = (bytes, bytearray, memoryview, str, os.PathLike)
ORIENTATION = 0x0112  # EXIF's tag


def read_picture_file(picture: Any) -> bytes | None:
    """The bytes of a picture file, given as bytes or a path; None for anything else. Raises OSError."""
    if not isinstance(picture, FILES):
        return None
    return read_file(Path(picture)) if isinstance(picture, str | os.PathLike) else bytes(picture)


def decode_picture(picture: Any, flags: int) -> Any:
    """uint8 [h, w, 3] BGR or [h, w] gray of a file's bytes or path, or of what `to_pixels` accepts.

    `flags` are those of OpenCV's imdecode. Raises ValueError, OSError or a decoder's own error if it is no picture.
    """
    if (data := read_picture_file(picture)) is None:
        pixels = to_pixels(picture)
        return pixels if pixels.ndim == 2 else pixels[:, :, ::-1]
    import cv2
    import numpy as np

    flags |= cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise ValueError("no picture that OpenCV can read")
    return apply_orientation(to_uint8(pixels) if pixels.dtype == np.uint16 else pixels, read_orientation(data))


def read_orientation(data: bytes) -> int:
    """The EXIF orientation, 1 (upright) to 8, of a picture file; 1 if there is none or it is invalid.

    The service has the same rule. OpenCV's own differs: it ignores a big-endian LONG.
    """
    from PIL import Image

    try:
        image, exif = Image.open(io.BytesIO(data)), Image.Exif()
        if "exif" not in image.info and b"eXIf" in data:
            image.load()  # a PNG may have it behind its pixels
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ORIENTATION, 1)
    except Exception:  # decoders raise errors of many types
        return 1
    orientation = orientation[0] if isinstance(orientation, bytes) else orientation
    return orientation if orientation in range(1, 9) else 1


def apply_orientation(pixels: Any, orientation: int) -> Any:
    """The upright view of an array [h, w] or [h, w, c] that is stored with that orientation; no copy."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
