"""Untrusted bytes to pixels.

Pillow decodes, as in CLIP's own transform, so pixels are bit-identical to those of that transform (16-bit pictures
excepted, and JPEGs decoded at a smaller scale). It runs outside the interpreter lock. torchvision's decoder saves a
millisecond at 1920 × 1080 but prints warnings about damaged files to stderr.

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
from ..core.request import Encoded, PixelFormat, Raw
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
BYTES = {PixelFormat.RGB24: 3.0, PixelFormat.BGR24: 3.0, PixelFormat.GRAY8: 1.0, PixelFormat.NV12: 1.5}  # per pixel


def decode(image: Encoded | Raw, limits: ImageLimits = DEFAULT_LIMITS, jpeg_side: int = 0) -> Tensor:
    """[3, h, w] uint8 RGB, upright, three bytes a pixel in memory (so the resize reads it without a copy).

    Alpha is dropped, not composited, as in CLIP's transform. Of 16 bits a sample the upper eight of those in use are
    taken (`sixteen_bits.to_eight_bits`). CMYK and palettes are converted. An animation gives its first frame.

    A JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 that leaves `jpeg_side` pixels on its shorter
    side, from as many coefficients of each block; 0: at full size. Raises `BadImage`.
    """
    if isinstance(image, Raw):
        limits.check_size(image.width, image.height)
        return _decode_raw(image)
    limits.check_bytes(len(image.data))
    header = read_header(image.data)
    limits.check_size(header.width, header.height)
    picture = _load(header, jpeg_side)
    if header.orientation in UPRIGHT:
        picture = picture.transpose(UPRIGHT[header.orientation])
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


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


def _decode_raw(image: Raw) -> Tensor:
    """A frame as [3, h, w] uint8 RGB. Raises `BadImage` unless its bytes are those of the size and format."""
    if image.format is PixelFormat.NV12 and (image.width % 2 or image.height % 2):
        raise BadImage(f"NV12 needs even sides, this frame is {image.width} × {image.height}", "image")
    wanted = int(image.width * image.height * BYTES[image.format])
    if len(image.pixels) != wanted:
        message = f"{image.width} × {image.height} {image.format} is {wanted} bytes, there are {len(image.pixels)}"
        raise BadImage(message, "image")
    plane = torch.frombuffer(bytearray(image.pixels), dtype=torch.uint8)  # a copy: the caller's bytes are read-only
    if image.format is PixelFormat.NV12:
        return _nv12(plane.view(-1, image.width), image.height)
    if image.format is PixelFormat.GRAY8:
        return plane.view(image.height, image.width, 1).repeat(1, 1, 3).permute(2, 0, 1)
    pixels = plane.view(image.height, image.width, 3)
    return (pixels.flip(-1) if image.format is PixelFormat.BGR24 else pixels).permute(2, 0, 1)


def _nv12(planes: Tensor, height: int) -> Tensor:
    """[1.5 h, w] to [3, h, w]: BT.601 with the narrow range (16..235), colour at half the resolution, not interpolated.

    Cameras and video decoders produce it, and OpenCV and FFmpeg assume it by default.
    """
    luma = (planes[:height].float() - 16).clamp_min_(0) * (255 / 219)  # [h, w]
    blue, red = (planes[height:].float() - 128).view(height // 2, -1, 2).unbind(-1)  # [h/2, w/2] each
    span = 255 / 224 * 2
    shifts = (
        span * (1 - 0.299) * red,
        -span * (0.114 * (1 - 0.114) * blue + 0.299 * (1 - 0.299) * red) / 0.587,
        span * (1 - 0.114) * blue,
    )
    pixels = torch.empty(height, planes.shape[1], 3, dtype=torch.uint8)
    for channel, shift in enumerate(shifts):
        full = shift.repeat_interleave(2, 0).repeat_interleave(2, 1)
        pixels[..., channel] = full.add_(luma).round_().clamp_(0, 255)
    return pixels.permute(2, 0, 1)
