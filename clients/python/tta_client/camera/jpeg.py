"""Shrinks pictures and encodes them as JPEGs, with OpenCV or Pillow, whichever is installed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..types.frames import Features, Frame, close_source
from ..types.pixels import to_pixels
from .decoders import FILES, decode_with_opencv, decode_with_pillow, read_picture_file

Encoder = Callable[[Any, int, int], bytes]


def encode_jpegs(frames: Iterable[Frame], short_side: int = 336, quality: int = 90) -> Iterator[Frame]:
    """The same frames as JPEGs whose shorter side is at most `short_side` pixels (0: never resized).

    336 pixels leave detail for the crops that a model of 224 pixels reads. A picture file that is small enough stays as
    it is, and so does what cannot be read: the client and the service report it, and later frames go on. Raises OSError
    for an array if neither OpenCV nor Pillow is installed.
    """
    encode, source = _choose_encoder(), iter(frames)
    try:
        for frame in source:
            yield replace(frame, image=_encode_picture(encode, frame.image, short_side, quality))
    finally:
        close_source(source)


def _encode_picture(encode: Encoder | None, picture: Any, short_side: int, quality: int) -> Any:
    if isinstance(picture, Features):
        return picture
    file = isinstance(picture, FILES)
    if encode is None and not file:
        raise OSError("making JPEGs needs OpenCV or Pillow: pip install 'tta-client[camera]'")
    if encode is None or (file and not short_side):
        return picture
    with suppress(Exception):  # no picture, or a damaged one; decoders raise errors of many types
        return encode(read_picture_file(picture) if file else picture, short_side, quality)
    return picture


def _choose_encoder() -> Encoder | None:
    for package, encoder in (("cv2", encode_with_opencv), ("PIL", encode_with_pillow)):
        if find_spec(package):
            return encoder
    return None


def fit_size(width: int, height: int, short_side: int) -> tuple[int, int] | None:
    """The (width, height) to shrink to; None if the picture is small enough."""
    shorter = min(width, height)
    if not short_side or shorter <= short_side:
        return None
    return max(1, round(width * short_side / shorter)), max(1, round(height * short_side / shorter))


def encode_with_opencv(picture: Any, short_side: int, quality: int) -> bytes:
    """A JPEG of what `to_pixels` accepts, or of a picture file's bytes, which are returned unchanged if small enough.

    Raises ValueError, or an error of the decoder's, if it is no picture.
    """
    import cv2
    import numpy as np

    from_file = isinstance(picture, bytes)
    if from_file:
        array = decode_with_opencv(picture, cv2.IMREAD_COLOR)
    else:
        array = to_pixels(picture)
        array = array if array.ndim == 2 else array[:, :, ::-1]  # OpenCV writes BGR
    size = fit_size(array.shape[1], array.shape[0], short_side)
    if size is None and from_file:
        return picture
    array = np.ascontiguousarray(array)
    if size is not None:
        array = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_with_pillow(picture: Any, short_side: int, quality: int) -> bytes:
    """As `encode_with_opencv`."""
    from PIL import Image

    image: Any
    if isinstance(picture, bytes):
        width, height = Image.open(io.BytesIO(picture)).size
        if fit_size(width, height, short_side) is None:
            return picture
        image = decode_with_pillow(picture)
    else:
        image = Image.fromarray(to_pixels(picture))
    width, height = image.size
    if size := fit_size(width, height, short_side):
        image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
