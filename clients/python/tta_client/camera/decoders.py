"""Decodes picture files: upright, eight bits a channel, with the same result from OpenCV and Pillow."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

from ..types.pixels import to_uint8
from .exif import apply_orientation, read_orientation

FILES = (bytes, bytearray, memoryview, str, os.PathLike)
FULL_RANGE = 64  # an upper byte of at least this says that all 16 bits are in use; the lower byte is then ignored


def read_picture_file(picture: Any) -> bytes | None:
    """The bytes of a picture file, given as bytes or a path; None for anything else.

    Raises OSError, also for what is no regular file: a pipe may block without end, and a device may have none.
    """
    if not isinstance(picture, FILES):
        return None
    if not isinstance(picture, str | os.PathLike):
        return bytes(picture)
    path = Path(picture)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not a file")
    return path.read_bytes()


def decode_with_opencv(data: bytes, flags: int) -> Any:
    """uint8 [h, w, 3] BGR or [h, w] gray, as the `flags` of imdecode say. Raises ValueError if it is no picture."""
    import cv2
    import numpy as np

    image = None
    if data:
        flags |= cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("no picture that OpenCV can read")
    return apply_orientation(to_uint8(image) if image.dtype == np.uint16 else image, read_orientation(data))


def decode_with_pillow(data: bytes) -> Any:
    """A PIL image of the mode RGB. Raises OSError, or another error of Pillow's, if it is no picture."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    if image.format == "PNG" and data[24] == 16:
        image = Image.fromarray(to_uint8(_sixteen_bits(data)))
    pixels = apply_orientation(np.asarray(image.convert("RGB")), read_orientation(data))
    return Image.fromarray(np.ascontiguousarray(pixels))


def _sixteen_bits(data: bytes) -> Any:
    """uint16 [h, w, 3] or [h, w] of a PNG of 16 bits.

    Pillow keeps 16 bits of gray pictures only. Of colours it gives the upper bytes; declared little-endian, the lower.
    """
    import numpy as np
    from PIL import Image

    def samples(layout: str = "") -> Any:
        image = Image.open(io.BytesIO(data))
        if layout:
            image.tile = [(*image.tile[0][:3], layout)]  # type: ignore[attr-defined]
        return np.asarray(image).astype(np.uint16)

    layout = str(Image.open(io.BytesIO(data)).tile[0][3])  # type: ignore[attr-defined]
    if layout == "LA;16B":
        pairs = samples("RGBA")  # the four bytes of a pixel
        return pairs[..., 0] << 8 | pairs[..., 1]
    upper = samples()
    if upper.ndim == 2:
        return upper
    upper = upper[..., :3]
    return upper << 8 | (0 if upper.max() >= FULL_RANGE else samples(layout.replace("16B", "16L"))[..., :3])
