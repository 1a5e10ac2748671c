"""A picture in a few gray pixels, to see whether anything has moved."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ..types.pixels import pixels
from .decoders import by_opencv, by_pillow, file_bytes

SIZE = (64, 48)  # width, height: noise averages out, a person across the street does not


def thumbnail(picture: Any) -> Any:
    """[48, 64] float32, 0 … 255, of what `pixels` takes or of a picture file's bytes; None: it is no picture.

    Raises OSError where neither OpenCV nor Pillow is installed.
    """
    for package, shrink in (("cv2", _with_opencv), ("PIL", _with_pillow)):
        if find_spec(package):
            return shrink(picture)
    raise OSError("the motion gate needs OpenCV or Pillow: pip install 'tta-client[camera]'")


def _with_opencv(picture: Any) -> Any:
    import cv2
    import numpy as np

    try:
        data = file_bytes(picture)
        seen = pixels(picture) if data is None else by_opencv(data, cv2.IMREAD_REDUCED_GRAYSCALE_2)
        small = cv2.resize(np.ascontiguousarray(seen), SIZE, interpolation=cv2.INTER_AREA)
    except Exception:  # decoders have many ways to say no
        return None
    return np.float32(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def _with_pillow(picture: Any) -> Any:
    import numpy as np
    from PIL import Image

    try:
        data = file_bytes(picture)
        image = Image.fromarray(pixels(picture)) if data is None else by_pillow(data)
        return np.asarray(image.resize(SIZE, Image.Resampling.BOX).convert("L"), np.float32)
    except Exception:
        return None
