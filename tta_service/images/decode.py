"""Untrusted bytes to pixels.

Pillow decodes, as in CLIP's own transform, so pixels are bit-identical to those of that transform (16-bit pictures
excepted). It runs outside the interpreter lock. torchvision's decoder saves a millisecond at 1920 × 1080 but prints
warnings about damaged files to stderr.

One decode takes ten bytes a pixel at its peak (WebP eighteen, a dim PNG of 16 bits a colour thirty). As many decodes
run at a time as the prepare lane has threads, so `ImageLimits.max_pixels` bounds the memory.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from torch import Tensor

from ..core.errors import BadImage
from ..core.request import Encoded, Raw
from . import raw
from .headers import Header, read_header
from .limits import DEFAULT_LIMITS, ImageLimits
from .sixteen_bits import has_sixteen_bits, to_eight_bits

# The classes themselves: `Image.open` would warn about sizes by a global limit of its own.
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


def decode(image: Encoded | Raw, limits: ImageLimits = DEFAULT_LIMITS) -> Tensor:
    """[3, h, w] uint8 RGB, upright, three bytes a pixel in memory (so the resize reads it without a copy).

    Alpha is dropped, not composited, as in CLIP's transform. Of 16 bits a sample the upper eight of those in use are
    taken (`sixteen_bits.to_eight_bits`). CMYK and palettes are converted. An animation gives its first frame. Raises
    `BadImage`.
    """
    if isinstance(image, Raw):
        limits.check_size(image.width, image.height)
        raw.check(image)
        return raw.decode(image)
    limits.check_bytes(len(image.data))
    header = read_header(image.data)
    limits.check_size(header.width, header.height)
    picture = _load(header)
    if header.orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[header.orientation])
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _load(header: Header) -> Image.Image:
    try:
        with OPENERS[header.format](BytesIO(header.pixels)) as picture:
            if picture.size != (header.width, header.height):
                raise ValueError("its headers contradict each other")
            layout = str(picture.tile[0].args) if header.format == "PNG" and has_sixteen_bits(header.pixels) else ""
            picture.load()
            bytewise = to_eight_bits(picture, layout, header.pixels) if layout else picture
            return bytewise if bytewise.mode == "RGB" else bytewise.convert("RGB")
    except Exception as error:  # damaged files make decoders raise exceptions of any type
        why = str(error).rstrip(".") or type(error).__name__
        raise BadImage(f"the {header.format} is damaged or cut short ({why})", "image") from error
