"""Training views of uint8 pictures: random resized crops, in the end the service's own, and mild colour changes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tta_service.images import random_crops as crops

MEAN, STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
GREY = (0.299, 0.587, 0.114)


def box(height: int, width: int, smallest: float, draw: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width of a crop in pixels: area uniform in smallest..1, log of the ratio uniform."""
    for _ in range(crops.ATTEMPTS):
        area, ratio, down, across = torch.rand(4, generator=draw).tolist()
        area = height * width * (smallest + (1 - smallest) * area)
        ratio = math.exp(math.log(crops.RATIO[0]) + math.log(crops.RATIO[1] / crops.RATIO[0]) * ratio)
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(down * (height - h + 1)), int(across * (width - w + 1)), h, w
    return 0, 0, height, width


def crop(pixels: Tensor, side: int, smallest: float, draw: torch.Generator) -> Tensor:
    """One crop of each picture, bilinear with antialias, half of them flipped; both [b, 3, s, s] uint8."""
    views = torch.empty(len(pixels), 3, side, side, dtype=torch.uint8)
    flips = (torch.rand(len(pixels), generator=draw) < 0.5).tolist()
    for view, picture, flipped in zip(views, pixels, flips, strict=True):
        top, left, h, w = box(*picture.shape[1:], smallest, draw)
        cut = picture[None, :, top : top + h, left : left + w]
        cut = F.interpolate(cut, size=(side, side), mode="bilinear", antialias=True)[0]
        view.copy_(cut.flip(-1) if flipped else cut)
    return views


def service_crop(pixels: Tensor, side: int, plain: float, draw: torch.Generator) -> Tensor:
    """The views that the service will ask about: its own crops, and the plain picture for a share `plain` of them."""
    count, height, width = len(pixels), *pixels.shape[2:]
    draws = torch.rand(count, crops.DRAWS, generator=draw, dtype=torch.double).numpy()
    places, large = crops.snap_to_even(crops.crop_boxes(height, width, draws), side)
    flips = crops.flips(draws)
    views = torch.empty(count, 3, side, side, dtype=torch.uint8)
    for i in range(count):
        one = slice(i, i + 1)
        crops.cut(pixels[one], places[one], large[one], flips[one], views[one])
    left_whole = (torch.rand(count, generator=draw) < plain).nonzero().squeeze(1)
    flipped = torch.rand(len(left_whole), 1, 1, 1, generator=draw) < 0.5
    untouched = whole(pixels[left_whole], side)
    views[left_whole] = torch.where(flipped, untouched.flip(-1), untouched)
    return views


def whole(pixels: Tensor, side: int) -> Tensor:
    """The plain view of square pictures, [b, 3, h, h] to [b, 3, side, side] uint8, bicubic as the service's."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True)


def normalise(views: Tensor) -> Tensor:
    """uint8 [b, 3, s, s] -> what the tower reads."""
    mean, std = torch.tensor(MEAN, device=views.device), torch.tensor(STD, device=views.device)
    x = (views.float() / 255 - mean[:, None, None]) / std[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)


def tint(views: Tensor, draw: torch.Generator, saturation: float = 0.3, balance: float = 0.08) -> Tensor:
    """Mild changes of colour alone: neither brightness nor contrast, which are measured as shifts."""
    x = views.float()
    grey = (x * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    keep = 1 + saturation * (2 * torch.rand(len(x), 1, 1, 1, generator=draw) - 1)
    gain = balance * (2 * torch.rand(len(x), 3, 1, 1, generator=draw) - 1)
    x = (grey + keep * (x - grey)) * (1 + gain - gain.mean(1, keepdim=True))
    return x.clamp(0, 255).to(torch.uint8)
