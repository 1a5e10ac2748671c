"""Small JPEGs: resized before they are encoded, with OpenCV or Pillow, whichever is installed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..types.frames import Features, Frame, close_source
from ..types.pixels import pixels
from .decoders import FILES, by_opencv, by_pillow, file_bytes

Encoder = Callable[[Any, int, int], bytes]


def encoded(frames: Iterable[Frame], short_side: int = 336, quality: int = 90) -> Iterator[Frame]:
    """The same frames as JPEGs whose shorter side is at most `short_side` pixels (0: never resized).

    336 leaves pixels for the crops that a 224-pixel model is shown. Picture files that are small enough already go as
    they are, and so does what is no picture here: client and service say what is wrong with it, and the frames behind
    it go on. Raises OSError for an array where neither OpenCV nor Pillow is installed.
    """
    encode, source = _encoder(), iter(frames)
    try:
        for frame in source:
            yield replace(frame, image=_small(encode, frame.image, short_side, quality))
    finally:
        close_source(source)


def _small(encode: Encoder | None, picture: Any, short_side: int, quality: int) -> Any:
    if isinstance(picture, Features):
        return picture
    file = isinstance(picture, FILES)
    if encode is None and not file:
        raise OSError("making JPEGs needs OpenCV or Pillow: pip install 'tta-client[camera]'")
    if encode is None or (file and not short_side):
        return picture
    with suppress(Exception):  # no picture, or none that can be read; decoders have many ways to say so
        return encode(file_bytes(picture) if file else picture, short_side, quality)
    return picture


def _encoder() -> Encoder | None:
    for package, encoder in (("cv2", with_opencv), ("PIL", with_pillow)):
        if find_spec(package):
            return encoder
    return None


def target(width: int, height: int, short_side: int) -> tuple[int, int] | None:
    """The size to shrink to, (width, height), None when it is small enough."""
    shorter = min(width, height)
    if not short_side or shorter <= short_side:
        return None
    return max(1, round(width * short_side / shorter)), max(1, round(height * short_side / shorter))


def with_opencv(picture: Any, short_side: int, quality: int) -> bytes:
    """A JPEG of what `pixels` takes, or of the bytes of a picture file (returned as they are when small enough).

    Raises ValueError, or what the decoder does, for no picture.
    """
    import cv2
    import numpy as np

    from_file = isinstance(picture, bytes)
    if from_file:
        found = by_opencv(picture, cv2.IMREAD_COLOR)
    else:
        found = pixels(picture)
        found = found if found.ndim == 2 else found[:, :, ::-1]  # OpenCV writes BGR
    size = target(found.shape[1], found.shape[0], short_side)
    if size is None and from_file:
        return picture
    found = np.ascontiguousarray(found)
    if size is not None:
        found = cv2.resize(found, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", found, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def with_pillow(picture: Any, short_side: int, quality: int) -> bytes:
    """As `with_opencv`."""
    from PIL import Image

    image: Any
    if isinstance(picture, bytes):
        width, height = Image.open(io.BytesIO(picture)).size
        if target(width, height, short_side) is None:
            return picture
        image = by_pillow(picture)
    else:
        image = Image.fromarray(pixels(picture))
    width, height = image.size
    if size := target(width, height, short_side):
        image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
