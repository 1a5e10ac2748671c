"""Small JPEGs: resized before they are encoded, with OpenCV or Pillow, whichever is installed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..frames import Frame, let_go

Encoder = Callable[[Any, int, int], bytes]


def encoded(frames: Iterable[Frame], short_side: int = 336, quality: int = 90) -> Iterator[Frame]:
    """The same frames as JPEGs whose shorter side is at most `short_side` pixels (0: never resized).

    336 leaves pixels for the crops that a 224-pixel model is shown. Picture files that are small enough already, and
    those that cannot be read here, go as they are: it is the service that says what is wrong with them. Raises OSError
    for an array where neither OpenCV nor Pillow is installed.
    """
    encode, source = _encoder(), iter(frames)
    try:
        for frame in source:
            yield replace(frame, image=_small(encode, frame.image, short_side, quality))
    finally:
        let_go(source)


def _small(encode: Encoder | None, picture: Any, short_side: int, quality: int) -> bytes:
    if not isinstance(picture, bytes):
        if encode is None:
            raise OSError("making JPEGs needs OpenCV or Pillow: pip install 'tta-client[camera]'")
        return encode(picture, short_side, quality)
    if encode is None or not short_side:
        return picture
    try:
        return encode(picture, short_side, quality)
    except Exception:  # decoders have many ways to say no
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
    """A JPEG of an RGB or gray array, or of the bytes of a picture file (returned as they are when small enough)."""
    import cv2
    import numpy as np

    from_file = isinstance(picture, bytes)
    if from_file:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) if picture else None
        if pixels is None:
            raise ValueError("no picture that OpenCV can read")
    else:
        pixels = picture if picture.ndim == 2 else picture[:, :, ::-1]  # OpenCV writes BGR
    size = target(pixels.shape[1], pixels.shape[0], short_side)
    if size is None and from_file:
        return picture
    if size is not None:
        pixels = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def with_pillow(picture: Any, short_side: int, quality: int) -> bytes:
    """As `with_opencv`."""
    from PIL import Image, ImageOps

    from_file = isinstance(picture, bytes)
    image = Image.open(io.BytesIO(picture)) if from_file else Image.fromarray(picture)
    size = target(*image.size, short_side)
    if size is None and from_file:
        return picture
    if from_file:
        image = ImageOps.exif_transpose(image).convert("RGB")
        size = target(*image.size, short_side)
    if size is not None:
        image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
