"""Bytes to pixels, for bytes that nobody vouches for.

Pillow decodes: every picture is what CLIP's own transform, which begins with Pillow too, would see, to the bit (16-bit
pictures excepted), and it runs outside the interpreter lock. torchvision's decoder saves a millisecond at 1920 × 1080
but prints to stderr what it thinks of a damaged file. One decode holds ten bytes a pixel for a moment (WebP eighteen,
a dim PNG of 16 bits a colour thirty), and as many run at a time as the prepare lane has threads: with
`ImageLimits.max_pixels` that bounds the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from torch import Tensor

from ..core.errors import BadImage
from ..core.request import Encoded, Raw
from . import raw, sixteen_bits
from .headers import Header, read_header

# The classes themselves instead of `Image.open`, which judges sizes by a global of its own, and with warnings.
OPENERS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a client may send. `max_bytes` is for encoded files; raw frames are bound by their pixels."""

    max_bytes: int = 8 << 20
    max_pixels: int = 16_000_000
    max_side: int = 8192


def decode(image: Encoded | Raw, limits: ImageLimits = ImageLimits()) -> Tensor:
    """[3, h, w] uint8 RGB, upright, three bytes a pixel in memory (so the resize reads it without a copy).

    Alpha is dropped, not composited, as CLIP's transform does; of 16 bits the upper eight of those in use count
    (`sixteen_bits.eight_bits`); CMYK and palettes are converted; an animation gives its first frame. Raises `BadImage`.
    """
    if isinstance(image, Raw):
        _check_size(image.width, image.height, limits)
        raw.check(image)
        return raw.decode(image)
    if not image.data:
        raise BadImage("the image is empty", "image")
    if len(image.data) > limits.max_bytes:
        raise BadImage(f"the image has {len(image.data)} bytes, at most {limits.max_bytes} are allowed", "image")
    header = read_header(image.data)
    _check_size(header.width, header.height, limits)
    picture = _load(header)
    if header.orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[header.orientation])
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise BadImage(f"the image is {width} × {height} pixels", "image")
    if max(width, height) > limits.max_side:
        raise BadImage(f"the image is {width} × {height} pixels, a side may have {limits.max_side}", "image")
    if width * height > limits.max_pixels:
        raise BadImage(
            f"the image is {width} × {height} pixels, at most {limits.max_pixels} in all are allowed", "image"
        )


def _load(header: Header) -> Image.Image:
    try:
        with OPENERS[header.format](BytesIO(header.pixels)) as picture:
            if picture.size != (header.width, header.height):
                raise ValueError("its headers contradict each other")
            layout = (
                str(picture.tile[0].args)
                if header.format == "PNG" and sixteen_bits.has_sixteen_bits(header.pixels)
                else ""
            )
            picture.load()
            whole = sixteen_bits.to_eight_bits(picture, layout, header.pixels) if layout else picture
            return whole if whole.mode == "RGB" else whole.convert("RGB")
    except Exception as error:  # a decoder fed with anything raises anything
        why = str(error).rstrip(".") or type(error).__name__
        raise BadImage(f"the {header.format} is damaged or cut short ({why})", "image") from error
