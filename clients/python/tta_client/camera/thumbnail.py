"""A picture in a few gray pixels, to see whether anything has moved."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

SIZE = (64, 48)  # width, height: noise averages out, a person across the street does not


def thumbnail(picture: Any) -> Any:
    """[48, 64] float32, 0 … 255, of an array [h, w, 3] or [h, w] or of a picture file's bytes; None: cannot be read.

    Raises OSError where neither OpenCV nor Pillow is installed.
    """
    for package, shrink in (("cv2", _with_opencv), ("PIL", _with_pillow)):
        if find_spec(package):
            return shrink(picture)
    raise OSError("the motion gate needs OpenCV or Pillow: pip install 'tta-client[camera]'")


def _with_opencv(picture: Any) -> Any:
    import cv2
    import numpy as np

    if isinstance(picture, bytes):
        picture = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_2) if picture else None
        if picture is None:
            return None
    small = cv2.resize(np.ascontiguousarray(picture), SIZE, interpolation=cv2.INTER_AREA)
    return np.float32(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def _with_pillow(picture: Any) -> Any:
    import numpy as np
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(picture)) if isinstance(picture, bytes) else Image.fromarray(picture)
        return np.asarray(image.resize(SIZE, Image.Resampling.BOX).convert("L"), np.float32)
    except OSError:
        return None
