"""Cuts the views of a picture as the service does (`tta_service/images/views.py`), with NumPy and Pillow alone.

Random crops are those of torchvision's `RandomResizedCrop`; their random numbers are SplitMix64's finaliser over a
counter (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195), in integers, so they are the service's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ divided by the golden ratio
AUGMIX_DRAWS = 34  # numbers of a view that follow those of its crop, and that crops alone do not use
CORNERS = (-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)
MOST_NAMED = 10
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


@dataclass(frozen=True, slots=True)
class Crops:
    """The constants of the service's crops, as an exported tower has them."""

    area: Sequence[float]
    ratio: Sequence[float]
    attempts: int
    longest: int  # largest ratio of sides of what is resized
    squares: Sequence[float]  # of the shorter side, the last named views


def cut_views(picture: Image.Image, size: int, count: int, augment: str, seed: int, crops: Crops) -> Any:
    """An upright RGB picture to views [count, 3, size, size] uint8, the first the plain one.

    `augment` is "crop" (random crops and flips) or "named" (ten at fixed places). Raises ValueError for another one.
    """
    if count == 1:
        views = [_cut_square(picture, size, size, crops)]
    elif augment == "named" and count <= MOST_NAMED:
        views = _cut_named(picture, size, crops)[:count]
    elif augment == "crop":
        views = [_cut_square(picture, size, size, crops), *_cut_random(picture, size, count, seed, crops)]
    else:
        raise ValueError(f"{count} views of {augment!r} are cut only where the package tta_service is installed")
    return np.ascontiguousarray(np.stack([np.asarray(view) for view in views]).transpose(0, 3, 1, 2))


def _cut_square(
    picture: Image.Image, size: int, shorter: int, crops: Crops, across: int = 0, down: int = 0
) -> Image.Image:
    """The shorter side resized to `shorter`, and a square of it at the start (-1), the middle (0) or the end (1)."""
    width, height = picture.size
    longest = crops.longest * min(height, width)
    w = width if width <= longest else longest + (width - longest) % 2
    h = height if height <= longest else longest + (height - longest) % 2
    whole = shorter * w // min(w, h), shorter * h // min(w, h)
    slacks = (width - w, across), (height - h, down), (whole[0] - size, across), (whole[1] - size, down)
    x, y, left, top = ((0, round(slack / 2), slack)[where + 1] for slack, where in slacks)
    resized = _resize(picture, (x, y, w, h), whole, BICUBIC)
    return resized.crop((left, top, left + size, top + size))


def _cut_named(picture: Image.Image, size: int, crops: Crops) -> list[Image.Image]:
    plain, shorter = _cut_square(picture, size, size, crops), round(8 * size / 7)
    views = [plain, plain.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    views += [_cut_square(picture, size, shorter, crops, *corner) for corner in CORNERS]
    for share in crops.squares:
        side = max(1, round(share * min(picture.size)))
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        views.append(_resize(picture, (left, top, side, side), (size, size), BICUBIC))
    return views


def _cut_random(picture: Image.Image, size: int, count: int, seed: int, crops: Crops) -> list[Image.Image]:
    """Views 1 to `count` - 1. A crop of at least twice the size comes from the picture at half of its own."""
    width, height = picture.size
    draws = _draw_uniforms(seed, count, 2 * crops.attempts + 3 + AUGMIX_DRAWS)
    boxes = _draw_boxes(height, width, draws, crops)
    large = boxes[:, 2:].min(1) >= 2 * size
    half = picture
    if large[1:].any():
        even = width // 2 * 2, height // 2 * 2
        half = _resize(picture, (0, 0, *even), (even[0] // 2, even[1] // 2), BICUBIC)
    views = list[Image.Image]()
    for box, is_large, number in zip(boxes.tolist()[1:], large.tolist()[1:], draws[1:, 2 * crops.attempts + 2]):
        box = [side // 2 for side in box] if is_large else box
        view = _resize(half if is_large else picture, box, (size, size), BILINEAR)
        views.append(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number < 0.5 else view)
    return views


def _draw_boxes(height: int, width: int, draws: Any, crops: Crops) -> Any:
    """Crops [v, 4] in pixels: left, top, width, height."""
    tries = crops.attempts
    area = height * width * (crops.area[0] + (crops.area[1] - crops.area[0]) * draws[:, :tries])
    low, high = map(math.log, crops.ratio)
    ratio = np.exp(low + (high - low) * draws[:, tries : 2 * tries])
    w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    row, first = np.arange(len(draws)), fits.argmax(1)
    w, h = w[row, first], h[row, first]
    left = np.floor(draws[:, 2 * tries] * (width - w + 1))
    top = np.floor(draws[:, 2 * tries + 1] * (height - h + 1))
    wide, high_ = min(width, round(height * crops.ratio[1])), min(height, round(width / crops.ratio[0]))
    central = (width - wide) // 2, (height - high_) // 2, wide, high_
    return np.where(fits.any(1, keepdims=True), np.stack([left, top, w, h], 1).astype(np.int64), np.array(central))


def _resize(picture: Image.Image, part: Sequence[int], whole: tuple[int, int], how: Image.Resampling) -> Image.Image:
    left, top, width, height = part
    cut = picture.crop((left, top, left + width, top + height))  # resize's own box would look beyond its border
    return cut if cut.size == whole else cut.resize(whole, how)


def _draw_uniforms(seed: int, views: int, draws: int) -> Any:
    """[v, draws] numbers in [0, 1): row i is for view i of `seed`."""
    view = _mix(_steps(views) + _mix(np.array([seed % 2**64], np.uint64)))
    word = _mix(view[:, None] + _steps(draws))
    return (word >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _steps(count: int) -> Any:
    return np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)  # overflow is intended


def _mix(x: Any) -> Any:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
