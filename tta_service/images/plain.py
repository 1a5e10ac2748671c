"""Views without chance: the plain one, and the ten that have names. Bicubic with antialias, as CLIP's own transform."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Place = tuple[float, float, float, float]  # left, top, width, height in pixels of the picture
CROPS = ("top_left", "top_right", "bottom_left", "bottom_right", "centre")
NAMED = ("plain", "flip", *CROPS, "nine_tenths", "three_quarters", "three_fifths")
SQUARES = (0.9, 0.75, 0.6)  # of the shorter side
LONGEST = 32  # times its own width; a longer strip is shortened first, or 1 × 8192 would become 224 × 1.8 million


def centre(picture: Tensor, size: int) -> tuple[Tensor, Place]:
    """The plain view of a picture [1, 3, h, w] uint8: shorter side to `size`, central square. [3, s, s] and place."""
    return _squares(picture, size, size, [(0, 0)])[0]


def named(picture: Tensor, size: int) -> list[tuple[Tensor, Place]]:
    """The ten views of `NAMED`, in that order. For the five crops the shorter side becomes 8/7 of `size`."""
    plain, place = centre(picture, size)
    corners = [(-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)]
    views = [(plain, place), (plain.flip(-1), place), *_squares(picture, round(8 * size / 7), size, corners)]
    height, width = picture.shape[-2:]
    for part in SQUARES:
        side = max(1, round(part * min(height, width)))
        left, top = (width - side) // 2, (height - side) // 2
        square = picture[..., top : top + side, left : left + side]
        views.append((_resized(square, size, size)[0], (left, top, side, side)))
    return views


def _squares(picture: Tensor, shorter: int, size: int, places: list[tuple[int, int]]) -> list[tuple[Tensor, Place]]:
    """Squares of `size` from the picture with its shorter side resized to `shorter`; a place is (x, y) of −1, 0, 1."""
    made: dict[tuple[int, int], Tensor] = {}
    views = []
    for across, down in places:
        part, (left, top) = _shortened(picture, across, down)
        if (left, top) not in made:
            sides = (shorter * side // min(part.shape[-2:]) for side in part.shape[-2:])  # truncated, as torchvision's
            made[left, top] = _resized(part, *sides)[0]
        whole = made[left, top]
        x, y = _offset(whole.shape[-1] - size, across), _offset(whole.shape[-2] - size, down)
        by = part.shape[-1] / whole.shape[-1], part.shape[-2] / whole.shape[-2]
        place = (left + x * by[0], top + y * by[1], size * by[0], size * by[1])
        views.append((whole[:, y : y + size, x : x + size], place))
    return views


def _offset(room: int, where: int) -> int:
    return (0, round(room / 2), room)[where + 1]


def _shortened(picture: Tensor, across: int, down: int) -> tuple[Tensor, tuple[int, int]]:
    """The end or the middle of a long strip, with its offset; any other picture as it is."""
    height, width = picture.shape[-2:]
    most = LONGEST * min(height, width)
    w = width if width <= most else most + (width - most) % 2  # of the same parity, so that the middle stays the middle
    h = height if height <= most else most + (height - most) % 2
    left, top = (0, (width - w) // 2, width - w)[across + 1], (0, (height - h) // 2, height - h)[down + 1]
    return picture[..., top : top + h, left : left + w], (left, top)


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape[-2:] == torch.Size((height, width)):
        return picture
    return F.interpolate(picture, size=(height, width), mode="bicubic", antialias=True)
