"""What callers may pass as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from ..core.errors import BadImage
from ..core.request import Encoded, PixelFormat, Raw

Picture = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | Tensor
ACCEPTED = (
    "the path or the bytes of a JPEG, PNG or WebP file, a PIL image, a uint8 array [h, w], [h, w, 3] or [h, w, 4], "
    "or a tensor [3, h, w] of uint8 or of floats from 0 to 1"
)


def check_pictures(pictures: Iterable[Picture]) -> Iterable[Picture]:
    """The pictures. A single one is refused, because it would be taken apart into letters or rows.

    Raises `BadImage`.
    """
    match pictures:
        case str() | os.PathLike() | bytes() | bytearray() | memoryview() | Image.Image():
            single = True
        case Tensor():
            single = pictures.ndim < 4
        case np.ndarray():
            single = pictures.ndim < 3 or (pictures.ndim == 3 and pictures.shape[2] in (1, 3, 4))
        case _:
            single = False
    if single:
        raise BadImage("pictures is a single picture; give several, [picture, …]", "pictures")
    if not isinstance(pictures, Iterable):
        raise BadImage(f"pictures are several of what is {ACCEPTED}, not a {type(pictures).__name__}", "pictures")
    return pictures


def read_picture(picture: Picture) -> Encoded | Raw:
    """The picture as the engine takes it; alpha is dropped. Raises `BadImage`, OSError for a file."""
    match picture:
        case str() | os.PathLike():
            return Encoded(Path(picture).read_bytes())
        case bytes() | bytearray() | memoryview():
            return Encoded(bytes(picture))
        case Image.Image():
            return _of_array(_of_pillow(picture))
        case Tensor():
            return _of_array(_of_tensor(picture))
        case np.ndarray():
            return _of_array(picture)
        case _:
            raise BadImage(f"an image is {ACCEPTED}, not {type(picture).__name__}", "image")


def _of_pillow(picture: Image.Image) -> NDArray[Any]:
    try:
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB"))
    except Exception as error:  # decoding begins here, and decoders raise errors of many types
        raise BadImage(f"the PIL image cannot be read: {error}", "image") from error


def _of_tensor(picture: Tensor) -> NDArray[Any]:
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise BadImage(f"an image is {ACCEPTED}, not a tensor {list(picture.shape)}", "image")
    if picture.is_floating_point():
        if not bool(((picture >= 0) & (picture <= 1)).all()):
            raise BadImage("a tensor of floats has numbers from 0 to 1: give it before it is normalised", "image")
        picture = (picture.float() * 255).round().byte()
    return picture.permute(1, 2, 0).cpu().numpy()


def _of_array(pixels: NDArray[Any]) -> Raw:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
        raise BadImage(f"an image is {ACCEPTED}, not {pixels.dtype} {list(pixels.shape)}", "image")
    gray = pixels.shape[2:] in ((), (1,))
    pixels = pixels.reshape(pixels.shape[:2]) if gray else pixels[..., :3]
    height, width = pixels.shape[:2]
    return Raw(width, height, PixelFormat.GRAY8 if gray else PixelFormat.RGB24, pixels.tobytes())
