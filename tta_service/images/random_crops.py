"""Random resized crops: their random numbers, their positions, and cutting them.

The distribution is torchvision's `RandomResizedCrop` (Szegedy et al., 2015, arXiv:1409.4842): area and logarithm of the
aspect ratio are uniform; after ten failed attempts the crop is the largest central one.

The generator is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195) over a counter,
in integers. So the numbers are the same on every platform and in every version, and views share no state.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio
AREA = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
ATTEMPTS = 10
DRAWS = 2 * ATTEMPTS + 3  # columns of uniforms that one crop uses: area and ratio of each attempt, place, flip


def uniforms(seed: int, views: int, draws: int) -> NDArray[np.float64]:
    """[v, draws] numbers in [0, 1): row i is for view i of `seed`, of which the lowest 64 bits are used."""
    view = _mix(_steps(views) + _mix(np.array([seed % 2**64], np.uint64)))  # [v]
    word = _mix(view[:, None] + _steps(draws))  # [v, draws]
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53


def crop_boxes(height: int, width: int, draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draws [v, DRAWS or more] to crops [v, 4] in pixels: left, top, width, height."""
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * draws[:, :ATTEMPTS])  # [v, 10]
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = np.exp(low + (high - low) * draws[:, ATTEMPTS : 2 * ATTEMPTS])  # [v, 10]
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    row, first = np.arange(len(draws)), fits.argmax(1)
    w, h = w[row, first], h[row, first]
    left = np.floor(draws[:, 2 * ATTEMPTS] * (width - w + 1))
    top = np.floor(draws[:, 2 * ATTEMPTS + 1] * (height - h + 1))
    fitting = np.stack([left, top, w, h], 1).astype(np.int64)
    return np.where(fits.any(1, keepdims=True), fitting, np.array(_central(height, width)))


def flips(draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[v] whether each crop is mirrored."""
    return draws[:, 2 * ATTEMPTS + 2] < 0.5


def snap_to_even(crops: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The crops [v, 4], with even numbers where both sides are at least 2·size, and which those are [v] bool.

    Those are cut from the picture at half its size, in which an odd number is half a pixel.
    """
    large = crops[:, 2:].min(1) >= 2 * size
    return np.where(large[:, None], crops // 2 * 2, crops), large


def cut(
    picture: Tensor, crops: NDArray[np.int64], large: NDArray[np.bool_], mirrored: NDArray[np.bool_], out: Tensor
) -> None:
    """Fill out [v, 3, s, s] from a picture [1, 3, h, w], both uint8: bilinear with antialias.

    A large crop comes from the half-size picture (bicubic), in a fraction of the time. Pixels differ from the direct
    way by 0.2 to 0.6 grey levels on average, less than bilinear differs from bicubic (benchmarks/views.py).
    """
    size = out.shape[-1]
    half = halve(picture) if large.any() else picture
    for view, crop, small, mirror in zip(out, crops.tolist(), (~large).tolist(), mirrored.tolist()):
        left, top, width, height = crop if small else (number // 2 for number in crop)
        part = (picture if small else half)[..., top : top + height, left : left + width]
        part = F.interpolate(part, size=(size, size), mode="bilinear", antialias=True)[0]
        view.copy_(part.flip(-1) if mirror else part)


def halve(picture: Tensor) -> Tensor:
    """[1, 3, h, w] to half the size, in channels-last layout; an odd last row or column is dropped."""
    height, width = (side // 2 for side in picture.shape[-2:])
    even = picture[..., : 2 * height, : 2 * width]
    half = F.interpolate(even, size=(height, width), mode="bicubic", antialias=True)
    return half.contiguous(memory_format=torch.channels_last)  # crops from planes take three times as long


def _central(height: int, width: int) -> tuple[int, int, int, int]:
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    return (width - w) // 2, (height - h) // 2, w, h


def _steps(count: int) -> NDArray[np.uint64]:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)  # overflow is intended


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
