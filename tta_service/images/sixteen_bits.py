"""PNGs of 16 bits a sample to eight bits, so that dim pictures do not become black."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

BITS = (8, 10, 12, 14, 16)  # of a sample, as sensors have them
FULL = 64  # an upper byte from here on means that all 16 bits are in use, so the lower byte is not needed


def has_sixteen_bits(png: bytes) -> bool:
    """Whether a PNG whose header is complete has 16 bits a sample."""
    return png[24] == 16


def eight_bits(samples: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The upper eight of the bits in use. The client's `eight_bits` follows the same rule.

    The bits in use are the fewest of `BITS` that hold the brightest sample of this picture. Many sensors of 10, 12 or
    14 bits leave the upper bits empty, so that the upper eight of 16 would be black. (PNG's sBIT does not help: it
    describes samples that fill their 16 bits.)
    """
    unused = next(bits - 8 for bits in BITS if samples.max() < 1 << bits)
    return (samples >> unused).astype(np.uint8)


def to_eight_bits(picture: Image.Image, layout: str, png: bytes) -> Image.Image:
    """A 16-bit picture in eight bits, without alpha. `layout` is the raw mode by which Pillow unpacked it.

    Pillow keeps 16 bits for gray only. Of colours it keeps the upper byte; it gives the lower byte when the file is
    read again with the byte order swapped.
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
