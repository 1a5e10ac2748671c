"""Picture files as pixels: upright, eight bits a channel, the same whichever decoder is installed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from ..types.pixels import eight_bits
from .exif import orientation, upright

FILES = (bytes, bytearray, memoryview, str, os.PathLike)
FULL = 64  # an upper byte as bright as this: all 16 bits are in use, and the lower byte does not matter


def file_bytes(picture: Any) -> bytes | None:
    """Of a picture file that is given by its bytes or its path; None for anything else. Raises OSError."""
    if not isinstance(picture, FILES):
        return None
    return Path(picture).read_bytes() if isinstance(picture, str | os.PathLike) else bytes(picture)


def by_opencv(data: bytes, flags: int) -> Any:
    """uint8 [h, w, 3] BGR or [h, w], as the `flags` of imdecode say. Raises ValueError for no picture."""
    import cv2
    import numpy as np

    found = None
    if data:
        flags |= cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if found is None:
        raise ValueError("no picture that OpenCV can read")
    return upright(eight_bits(found) if found.dtype == np.uint16 else found, orientation(data))


def by_pillow(data: bytes) -> Any:
    """A PIL image of the mode RGB. Raises OSError, or what else Pillow does, for no picture."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    if image.format == "PNG" and data[24] == 16:
        image = Image.fromarray(eight_bits(_sixteen_bits(data)))
    return Image.fromarray(np.ascontiguousarray(upright(np.asarray(image.convert("RGB")), orientation(data))))


def _sixteen_bits(data: bytes) -> Any:
    """uint16 [h, w, 3] or [h, w] of a PNG of 16 bits. Pillow keeps these of gray alone; of colours it gives the upper
    bytes, or the lower ones when they are said to be the other way round."""
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
    return upper << 8 | (0 if upper.max() >= FULL else samples(layout.replace("16B", "16L"))[..., :3])
