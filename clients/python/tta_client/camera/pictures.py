"""Reads pictures as the service does, upright and in eight bits a channel; shrinks them and encodes them as JPEGs.

All of it needs OpenCV, and files need Pillow.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..types.frames import Features, Frame, open_frames, read_file
from ..types.pixels import SampleDepth, to_pixels
from .extras import describe_missing, import_package

FILES = (bytes, bytearray, memoryview, str, os.PathLike)
ORIENTATION = 0x0112  # EXIF's tag


class NotAPicture(ValueError):
    """A frame cannot be decoded."""


def read_picture_file(picture: Any) -> bytes | None:
    """The bytes of a picture file, given as bytes or a path; None for anything else. Raises OSError."""
    if not isinstance(picture, FILES):
        return None
    return read_file(Path(picture)) if isinstance(picture, str | os.PathLike) else bytes(picture)


def decode_picture(picture: Any, flags: int, depth: SampleDepth | None = None) -> Any:
    """uint8 [h, w, 3] BGR or [h, w] gray of a file's bytes or path, or of what `to_pixels` accepts.

    `flags` are those of OpenCV's imdecode, `depth` is that of an array's source. Raises ValueError, OSError or a
    decoder's own error if it is no picture.
    """
    if (data := read_picture_file(picture)) is None:
        pixels = to_pixels(picture, depth)
        return pixels if pixels.ndim == 2 else swap_red_and_blue(pixels)
    import cv2
    import numpy as np

    flags |= cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise ValueError("no picture that OpenCV can read")
    return apply_orientation(
        SampleDepth().to_uint8(pixels) if pixels.dtype == np.uint16 else pixels, read_orientation(data)
    )


def to_rgb(frame: Frame) -> Any:
    """A frame's pixels [h, w, 3] uint8 RGB. Raises `NotAPicture`."""
    import numpy as np

    cv2 = import_package("cv2", "OpenCV", "reading pixels")
    try:
        pixels = decode_picture(frame.image, cv2.IMREAD_COLOR)
    except Exception as error:  # decoders raise errors of many types
        raise NotAPicture(str(error)) from error
    return np.stack([pixels] * 3, -1) if pixels.ndim == 2 else swap_red_and_blue(pixels)


def swap_red_and_blue(pixels: Any) -> Any:
    """[h, w, 3] uint8 RGB as BGR, or back, contiguous: a view if it can be one, else a copy."""
    import cv2
    import numpy as np

    swapped = pixels[:, :, ::-1]
    if swapped.flags.c_contiguous:
        return swapped
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)  # NumPy copies a reversed axis slowly


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


def encode_jpegs(frames: Iterable[Frame], short_side: int = 336, quality: int = 90) -> Iterator[Frame]:
    """The same frames as JPEGs whose shorter side is at most `short_side` pixels (0: never resized).

    336 pixels leave detail for the crops that a model of 224 pixels reads. A picture file that is small enough stays as
    it is, and so does what cannot be read: the client and the service report it, and later frames go on. Without OpenCV
    files stay as they are, and an array raises OSError.
    """
    installed, depth = find_spec("cv2") is not None, SampleDepth()
    with open_frames(frames) as source:
        for frame in source:
            picture, file = frame.image, isinstance(frame.image, FILES)
            if not installed and not file and not isinstance(picture, Features):
                raise OSError(describe_missing("OpenCV", "making JPEGs"))
            if installed and not isinstance(picture, Features) and (short_side or not file):
                with suppress(Exception):  # no picture, or a damaged one; decoders raise errors of many types
                    picture = encode_jpeg(picture, short_side, quality, depth)
            yield replace(frame, image=picture)


def encode_jpeg(picture: Any, short_side: int, quality: int, depth: SampleDepth | None = None) -> bytes:
    """A JPEG of what `decode_picture` reads; the bytes of a picture file that is small enough."""
    import cv2
    import numpy as np

    data = read_picture_file(picture)
    array = decode_picture(picture if data is None else data, cv2.IMREAD_COLOR, depth)
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
