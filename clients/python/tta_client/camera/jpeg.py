"""Shrinks pictures and encodes them as JPEGs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..types.frames import Features, Frame, open_frames
from .pictures import FILES, decode_picture, read_picture_file


def encode_jpegs(frames: Iterable[Frame], short_side: int = 336, quality: int = 90) -> Iterator[Frame]:
    """The same frames as JPEGs whose shorter side is at most `short_side` pixels (0: never resized).

    336 pixels leave detail for the crops that a model of 224 pixels reads. A picture file that is small enough stays as
    it is, and so does what cannot be read: the client and the service report it, and later frames go on. Without OpenCV
    files stay as they are, and an array raises OSError.
    """
    installed = find_spec("cv2") is not None
    with open_frames(frames) as source:
        for frame in source:
            picture, file = frame.image, isinstance(frame.image, FILES)
            if not installed and not file and not isinstance(picture, Features):
                raise OSError("making JPEGs needs OpenCV: pip install 'tta-client[camera]'")
            if installed and not isinstance(picture, Features) and (short_side or not file):
                with suppress(Exception):  # no picture, or a damaged one; decoders raise errors of many types
                    picture = encode_jpeg(picture, short_side, quality)
            yield replace(frame, image=picture)


def encode_jpeg(picture: Any, short_side: int, quality: int) -> bytes:
    """A JPEG of what `decode_picture` reads; the bytes of a picture file that is small enough."""
    import cv2
    import numpy as np

    data = read_picture_file(picture)
    array = decode_picture(picture if data is None else data, cv2.IMREAD_COLOR)
    size = fit_size(array.shape[1], array.shape[0], short_side)
    if size is None and data is not None:
        return data
    array = np.ascontiguousarray(array)
    if size is not None:
        array = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def fit_size(width: int, height: int, short_side: int) -> tuple[int, int] | None:
    """The (width, height) to shrink to; None if the picture is small enough."""
    shorter = min(width, height)
    if not short_side or shorter <= short_side:
        return None
    return max(1, round(width * short_side / shorter)), max(1, round(height * short_side / shorter))
