"""Seeded corruptions of uint8 pictures at five severities: what evaluation shows beside the clean pictures.

Kinds and formulas after Hendrycks and Dietterich, ICLR 2019, arXiv:1903.12261, but not their pictures. Strengths are
between those of its CIFAR-10 and Tiny ImageNet versions, because ours serve small pictures too; fog and frost are drawn
from smooth noise, without photographs of ice; night, quantise, motion (a straight line) and salt are ours. Numbers
under them do not compare with published numbers on ImageNet-C, whose own files the layout `imagenet_c` reads.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

MEASURED = ("noise", "blur", "contrast", "brightness", "fog", "frost", "jpeg", "pixelate")
TUNING = ("quantise", "motion", "salt")
IN_PIXELS = {"blur": 64, "motion": 64}  # strengths are lengths in pictures of this side; larger ones scale them
LEAST = 32  # pixels of the side of a picture that can be corrupted
Shift = Callable[[Tensor, float, torch.Generator], Tensor]  # x [n, 3, h, w] in 0..1 -> the same


def noise(x: Tensor, deviation: float, draw: torch.Generator) -> Tensor:
    """Gaussian noise of this standard deviation."""
    return x + deviation * torch.randn(x.shape, generator=draw)


def blur(x: Tensor, sigma: float, draw: torch.Generator) -> Tensor:
    """Gaussian blur, sigma in pixels, edges mirrored."""
    reach = int(3 * sigma + 1)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach,) * 4, mode="reflect"), kernel, groups=3)
    return F.conv2d(x, kernel.mT, groups=3)


def contrast(x: Tensor, kept: float, draw: torch.Generator) -> Tensor:
    """Each channel of each picture drawn towards its mean; `kept` of the difference is left."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + kept * (x - mean)


def brightness(x: Tensor, added: float, draw: torch.Generator) -> Tensor:
    """Added to the V of HSV; hue and saturation stay."""
    value = x.amax(1, keepdim=True)
    return torch.where(value > 0, x * (value + added).clamp(max=1) / value.clamp(min=1e-6), added)


def fog(x: Tensor, density: float, draw: torch.Generator) -> Tensor:
    """Clouds in front of the picture: octaves of smooth noise, each half the size and weight of the one before."""
    side = x.shape[-1]
    clouds = torch.zeros(len(x), 1, side, side)
    for octave in range(1, int(np.log2(side)) + 1):
        grid = torch.rand(len(x), 1, 2**octave, 2**octave, generator=draw)
        clouds += 0.5**octave * F.interpolate(grid, size=(side, side), mode="bilinear", align_corners=True)
    low, high = clouds.amin((1, 2, 3), keepdim=True), clouds.amax((1, 2, 3), keepdim=True)
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + density * (clouds - low) / (high - low)) * brightest / (brightest + density)


def jpeg(x: Tensor, quality: float, draw: torch.Generator) -> Tensor:
    """Through JPEG at this quality (Pillow)."""
    pictures = []
    for picture in (255 * x).round().byte().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=int(quality))
        pictures.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


SHIFTS: dict[str, tuple[Shift, tuple[float, ...]]] = {
    "noise": (noise, (0.04, 0.08, 0.12, 0.15, 0.18)),
    "blur": (blur, (0.5, 0.75, 1.0, 1.25, 1.5)),
    "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "brightness": (brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "fog": (fog, (0.5, 0.75, 1.0, 1.5, 2.0)),
    "jpeg": (jpeg, (50, 30, 20, 14, 10)),
}


def frost(x: Tensor, ice: float, draw: torch.Generator) -> Tensor:
    """Needles of ice, thickest at the border: ridges of smooth noise, four octaves, bluish white."""
    side = x.shape[-1]
    ridges = torch.zeros(len(x), 1, side, side)
    for octave in range(2, 6):
        grid = torch.rand(len(x), 1, 2**octave, 2**octave, generator=draw)
        smooth = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=True)
        ridges += 0.6 ** (octave - 2) * (1 - (2 * smooth - 1).abs()).clamp(0, 1) ** 2
    ridges = ridges / ridges.amax((1, 2, 3), keepdim=True)
    away = torch.linspace(-1, 1, side).abs()
    border = torch.maximum(away[:, None], away[None, :]) ** 2
    cover = (ridges * (0.6 + 0.6 * border)).clamp(0, 1)
    white = torch.tensor([0.86, 0.93, 1.0])[:, None, None]
    return (1 - 0.45 * ice) * x + ice * cover * white


def pixelate(x: Tensor, kept: float, draw: torch.Generator) -> Tensor:
    """Fewer, larger pixels: `kept` of each side, every one the mean of what it covers."""
    small = F.interpolate(x, size=(max(1, round(kept * x.shape[-1])),) * 2, mode="area")
    return F.interpolate(small, size=x.shape[-2:], mode="nearest")


def night(x: Tensor, light: float, draw: torch.Generator) -> Tensor:
    """`light` of the day's, and the grain of a camera that has to amplify."""
    return light * x + 0.02 * (1 - light) * torch.randn(x.shape, generator=draw)


def quantise(x: Tensor, levels: float, draw: torch.Generator) -> Tensor:
    """So many levels of each colour."""
    return (x * (levels - 1)).round() / (levels - 1)


def motion(x: Tensor, length: float, draw: torch.Generator) -> Tensor:
    """The camera moved `length` pixels in a straight line, a direction for each picture."""
    reach = math.ceil(length / 2)
    steps = torch.linspace(-length / 2, length / 2, 4 * reach + 1)
    moved = []
    for picture in x:
        angle = math.pi * float(torch.rand((), generator=draw))
        kernel = torch.zeros(2 * reach + 1, 2 * reach + 1)
        across = (reach + steps * math.cos(angle)).round().long()
        down = (reach + steps * math.sin(angle)).round().long()
        kernel.index_put_((down, across), torch.ones(len(steps)), accumulate=True)
        kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
        moved.append(F.conv2d(F.pad(picture[None], (reach,) * 4, mode="reflect"), kernel, groups=3))
    return torch.cat(moved)


def salt(x: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """This share of the pixels is black or white."""
    chance = torch.rand(len(x), 1, *x.shape[2:], generator=draw)
    return torch.where(chance < share / 2, 0.0, torch.where(chance > 1 - share / 2, 1.0, x))


OWN: dict[str, tuple[Shift, tuple[float, ...]]] = {
    "frost": (frost, (0.25, 0.4, 0.5, 0.6, 0.7)),
    "pixelate": (pixelate, (0.9, 0.75, 0.6, 0.5, 0.4)),
    "night": (night, (0.7, 0.5, 0.35, 0.22, 0.12)),
    "quantise": (quantise, (16, 8, 6, 4, 3)),
    "motion": (motion, (3, 5, 7, 9, 11)),
    "salt": (salt, (0.01, 0.02, 0.04, 0.06, 0.09)),
}
KINDS = OWN | SHIFTS


def strength(name: str, severity: int) -> float:
    """What makes a severity: part of the name under which features are kept. Raises ValueError."""
    if name == "none":
        return 0.0
    if name not in KINDS or not 1 <= severity <= 5:
        raise ValueError(f"{name}/{severity}: a shift is one of {', '.join(KINDS)}, a severity 1 to 5")
    return float(KINDS[name][1][severity - 1])


def corrupt(name: str, severity: int, picture: Tensor, seed: int) -> Tensor:
    """One picture [3, h, w] uint8, changed; drawn from the kind, the severity and `seed` alone.

    A picture that is not square is cut to its central square first, as for ImageNet-C.
    """
    amount = strength(name, severity)
    if name == "none":
        return picture
    side = min(picture.shape[-2:])
    if side < LEAST:
        raise ValueError(f"a picture of {side} pixels is too small to be corrupted; the least is {LEAST}")
    top, left = (picture.shape[-2] - side) // 2, (picture.shape[-1] - side) // 2
    square = picture[None, :, top : top + side, left : left + side].float() / 255
    if side > IN_PIXELS.get(name, side):
        amount *= side / IN_PIXELS[name]
    draw = torch.Generator().manual_seed(seed * 1000 + 10 * sorted(KINDS).index(name) + severity)
    return (255 * KINDS[name][0](square, amount, draw)).round().clamp(0, 255).byte()[0]
