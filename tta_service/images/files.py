"""Untrusted files to pixels, within bounds. Imports no torch: a decoder's process has 40 MB (`decoder_process.py`).

Pillow decodes, as in CLIP's own transform, so pixels are bit-identical to those of that transform (16-bit pictures
excepted, and JPEGs decoded at a smaller scale). It runs outside the interpreter lock. torchvision's decoder saves a
millisecond at 1920 × 1080 but prints warnings about damaged files to stderr.

One decode takes ten bytes a pixel at its peak (WebP eighteen, a dim PNG of 16 bits a colour thirty). As many decodes
run at a time as the prepare lane has threads, so `ImageLimits.max_pixels` bounds the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ..core.errors import BadImage
from .headers import Header, read_header
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


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest images that are accepted. `max_bytes` bounds encoded files; pixels bound raw frames too."""

    max_bytes: int = 8 << 20
    max_pixels: int = 16_000_000
    max_side: int = 8192

    def check_bytes(self, count: int) -> None:
        """Raises `BadImage` for an encoded file that is empty or too long."""
        if not count:
            raise BadImage("the image is empty", "image")
        if count > self.max_bytes:
            raise BadImage(f"the image has {count} bytes, at most {self.max_bytes} are allowed", "image")

    def check_size(self, width: int, height: int) -> None:
        """Raises `BadImage` for a picture without pixels, or with too many."""
        size = f"the image is {width} × {height} pixels"
        if width < 1 or height < 1:
            raise BadImage(size, "image")
        if max(width, height) > self.max_side:
            raise BadImage(f"{size}, a side may have {self.max_side}", "image")
        if width * height > self.max_pixels:
            raise BadImage(f"{size}, at most {self.max_pixels} in all are allowed", "image")


DEFAULT_LIMITS = ImageLimits()


def decode_file(data: bytes, limits: ImageLimits, jpeg_side: int = 0) -> NDArray[np.uint8]:
    """[h, w, 3] RGB of a JPEG, PNG or WebP, upright.

    Alpha is dropped, not composited, as in CLIP's transform. Of 16 bits a sample the upper eight of those in use are
    taken (`sixteen_bits.to_eight_bits`). CMYK and palettes are converted. An animation gives its first frame.

    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that leaves `jpeg_side` pixels on its shorter
    side, from as many coefficients of each block; 0: at full size. Raises `BadImage`.
    """
    header = read_header(data)
    limits.check_size(header.width, header.height)
    picture = _load(header, jpeg_side)
    if header.orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[header.orientation])
    return np.array(picture)


def _load(header: Header, jpeg_side: int) -> Image.Image:
    try:
        with OPENERS[header.format](BytesIO(header.pixels)) as picture:
            if picture.size != (header.width, header.height):
                raise ValueError("its headers contradict each other")
            layout = str(picture.tile[0].args) if header.format == "PNG" and has_sixteen_bits(header.pixels) else ""
            if jpeg_side:
                picture.draft(None, (jpeg_side, jpeg_side))  # does nothing for other formats
            picture.load()
            bytewise = to_eight_bits(picture, layout, header.pixels) if layout else picture
            return bytewise if bytewise.mode == "RGB" else bytewise.convert("RGB")
    except Exception as error:  # damaged files make decoders raise exceptions of any type
        why = str(error).rstrip(".") or type(error).__name__
        raise BadImage(f"the {header.format} is damaged or cut short ({why})", "image") from error
