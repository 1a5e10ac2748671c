"""PNGs of 16 bits a sample as eight bits, without their content becoming black."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

BITS = (8, 10, 12, 14, 16)  # of a sample, as sensors have them
FULL = 64  # an upper byte as bright as this: all 16 bits are in use, and the lower byte does not matter


def has_sixteen_bits(png: bytes) -> bool:
    """Whether it has 16 bits a sample; of a header that has been read."""
    return png[24] == 16


def eight_bits(samples: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Of the bits in use the upper eight; the client's `eight_bits` is the same rule.

    In use are the fewest of `BITS` that hold the brightest sample of this picture: many a sensor of 10, 12 or 14 bits
    leaves the upper ones empty, and by the upper eight of all 16 its pictures would be black. (PNG's sBIT does not say
    that: it speaks of samples which fill their 16 bits.)
    """
    unused = next(bits - 8 for bits in BITS if samples.max() < 1 << bits)
    return (samples >> unused).astype(np.uint8)


def to_eight_bits(picture: Image.Image, layout: str, png: bytes) -> Image.Image:
    """The same in eight bits, without alpha, of a picture that Pillow has unpacked by that `layout`.

    Pillow keeps the 16 bits of gray alone; of colours it has the upper bytes, and gives the lower ones when the samples
    are said to be the other way round.
    """
    if layout.startswith("LA"):
        pairs = _reread(png, "RGBA")  # the four bytes of a pixel
        return Image.fromarray(eight_bits(pairs[..., 0] << 8 | pairs[..., 1]))
    if picture.mode.startswith("I"):
        return Image.fromarray(eight_bits(np.asarray(picture)))
    upper = np.asarray(picture)[..., :3]
    if upper.max() >= FULL:
        return picture
    lower = _reread(png, layout.replace("16B", "16L"))[..., :3]
    return Image.fromarray(eight_bits(upper.astype(np.uint16) << 8 | lower))


def _reread(png: bytes, layout: str) -> NDArray[np.uint16]:
    with PngImagePlugin.PngImageFile(BytesIO(png)) as picture:
        picture.tile = [picture.tile[0]._replace(args=layout)]
        return np.asarray(picture).astype(np.uint16)
