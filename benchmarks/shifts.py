"""Six seeded corruptions of uint8 pictures at five severities, for measuring only: no training of ours ever sees them.

Kinds and formulas after Hendrycks and Dietterich, ICLR 2019, arXiv:1903.12261; strengths between those of its CIFAR-10
and Tiny ImageNet versions, since our pictures have 32 to 64 px. `apply_shift("fog", 3, pixels)` is the whole interface.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

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


def apply_shift(name: str, severity: int, pixels: Tensor, seed: int = 0) -> Tensor:
    """Pictures [n, 3, h, w] uint8 at their own size, h = w, and severity 1..5: corrupted, again uint8."""
    shift, strengths = SHIFTS[name]
    if not 1 <= severity <= len(strengths):
        raise ValueError(f"severity is 1 to {len(strengths)}, not {severity}")
    draw = torch.Generator().manual_seed(seed * 1000 + 10 * list(SHIFTS).index(name) + severity)
    return (255 * shift(pixels.float() / 255, strengths[severity - 1], draw)).round().clamp(0, 255).byte()
