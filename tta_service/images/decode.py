"""A picture of a request to pixels: an encoded file (`files.py`) or a raw frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..core.errors import BadImage
from ..core.request import Encoded, PixelFormat, Raw
from .files import DEFAULT_LIMITS, ImageLimits, decode_file

if TYPE_CHECKING:
    from .decoders import DecoderPool

BYTES = {PixelFormat.RGB24: 3.0, PixelFormat.BGR24: 3.0, PixelFormat.GRAY8: 1.0, PixelFormat.NV12: 1.5}  # per pixel


def decode(
    image: Encoded | Raw, limits: ImageLimits = DEFAULT_LIMITS, jpeg_side: int = 0, pool: DecoderPool | None = None
) -> Tensor:
    """[3, h, w] uint8 RGB, upright, three bytes a pixel in memory (so the resize reads it without a copy).

    Files are decoded as by `decode_file`, in a process of the `pool` if there is one. Raises `BadImage`.
    """
    if isinstance(image, Raw):
        limits.check_size(image.width, image.height)
        return _decode_raw(image)
    limits.check_bytes(len(image.data))
    decoded = pool.decode(image.data, jpeg_side) if pool else None
    pixels = torch.from_numpy(decode_file(image.data, limits, jpeg_side)) if decoded is None else decoded
    return pixels.permute(2, 0, 1)


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
