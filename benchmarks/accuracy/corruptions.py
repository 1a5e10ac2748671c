"""Every change of a picture that the table knows: those of benchmarks/shifts.py, frost and pixelate, night, and three
that only the choice of defaults may look at.

Kinds after Hendrycks and Dietterich, ICLR 2019, arXiv:1903.12261, but no photographs of ice: frost is drawn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.shifts import SHIFTS, Shift

MEASURED = ("noise", "blur", "contrast", "brightness", "fog", "frost", "jpeg", "pixelate")
TUNING = ("quantise", "motion", "salt")
IN_PIXELS = {"blur": 64, "motion": 64}  # strengths are lengths in pictures of this side; larger ones scale them
LEAST = 32  # pixels of the side of a picture that can be corrupted


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
