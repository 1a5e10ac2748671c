"""Cuts one picture into the views that a strategy needs. View i depends on (seed, i), not on the number of views.

The plain view and ten named ones lie at fixed places, resized bicubic with antialias, as in CLIP's own transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import BadParameters
from ..core.evidence import Views
from . import augmix
from . import random_crops as crops

AUGMENTS = ("crop", "augmix", "named")
Place = tuple[float, float, float, float]  # left, top, width, height in pixels of the picture
CROPS = ("top_left", "top_right", "bottom_left", "bottom_right", "centre")
CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0))  # of CROPS: across, down
NAMED = ("plain", "flip", *CROPS, "nine_tenths", "three_quarters", "three_fifths")
SQUARES = (0.9, 0.75, 0.6)  # of the shorter side
LONGEST = 32  # largest ratio of sides; a longer strip is cropped, or 1 × 8192 would become 224 × 1.8 million


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The random numbers of v views. Row 0 has some too, which are unused."""

    places: NDArray[np.int64]  # [v, 4] left, top, width, height in pixels
    large: NDArray[np.bool_]  # [v] cut from the half-size picture
    mirrored: NDArray[np.bool_]  # [v]
    rest: NDArray[np.float64]  # [v, augmix.DRAWS]


@dataclass(frozen=True, slots=True)
class Square:
    """`size` pixels square, cut at `left`, `top` from a part of the picture after its resize to `whole`."""

    part: tuple[int, int, int, int]  # left, top, width, height in pixels of the picture
    whole: tuple[int, int]  # width and height that the part is resized to
    left: int
    top: int
    size: int

    @property
    def place(self) -> Place:
        """Its position in the picture, in pixels."""
        left, top, width, height = self.part
        across, down = width / self.whole[0], height / self.whole[1]
        return left + self.left * across, top + self.top * down, self.size * across, self.size * down


def look(pixels: Tensor, size: int, count: int, seed: int, augment: str = "crop") -> Views:
    """[3, h, w] uint8 to `count` views of `size`, row 0 the plain one.

    "crop": random resized crops and flips. "augmix": AugMix on top of these (arXiv:1912.02781). "named": the first
    `count` of the ten views of `NAMED`. Raises `BadParameters` for another word, or an eleventh named view.
    """
    picture = pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1)[None]  # channels-last; no copy if it is so already
    if count == 1 and augment in AUGMENTS:
        view, place = centre_view(picture, size)
        boxes = to_fractions(np.array([place]), *pixels.shape[-2:])
        return Views(view[None].clone(memory_format=torch.contiguous_format), boxes, torch.tensor([False]))
    check(augment, count)
    if augment == "named":
        return _cut_named(picture, size, count)
    return _cut_random(picture, size, count, seed, mixed=augment == "augmix")


def make_cpu_look(size: int) -> Callable[[Tensor, int, int, str], Views]:
    """`look` for views of that size: a function of picture, count, seed and augment."""
    return lambda pixels, count, seed, augment: look(pixels, size, count, seed, augment)


def check(augment: str, count: int) -> None:
    """Raises `BadParameters` for an unknown way to make views, or too many named ones."""
    if augment not in AUGMENTS:
        raise BadParameters(f"no views are called {augment!r}; there are {', '.join(AUGMENTS)}", "augment")
    if augment == "named" and count > len(NAMED):
        raise BadParameters(f"there are {len(NAMED)} named views, not {count}", "views")


def draw(height: int, width: int, size: int, count: int, seed: int) -> Draws:
    """Draw the crops of a picture of `height` by `width` pixels."""
    draws = crops.uniforms(seed, count, crops.DRAWS + augmix.DRAWS)
    places, large = crops.snap_to_even(crops.crop_boxes(height, width, draws), size)
    mirrored = crops.flips(draws)
    mirrored[0] = False
    return Draws(places, large, mirrored, draws[:, crops.DRAWS :])


def to_fractions(places: NDArray[np.generic], height: int, width: int) -> Tensor:
    """Places [v, 4] in pixels to fractions of the picture's sides, float32."""
    return torch.from_numpy(places / np.array([width, height, width, height])).float()


def _cut_random(picture: Tensor, size: int, count: int, seed: int, *, mixed: bool) -> Views:
    height, width = picture.shape[-2:]
    draws = draw(height, width, size, count, seed)
    views = torch.empty(count, 3, size, size, dtype=torch.uint8)
    views[0], place = centre_view(picture, size)
    crops.cut(picture, draws.places[1:], draws.large[1:], draws.mirrored[1:], views[1:])
    if mixed:
        for view, row in zip(views[1:], draws.rest[1:]):
            view.copy_(augmix.mix(view, row))
    boxes = np.concatenate([np.array([place]), draws.places[1:]])
    return Views(views, to_fractions(boxes, height, width), torch.from_numpy(draws.mirrored))


def _cut_named(picture: Tensor, size: int, count: int) -> Views:
    views = named_views(picture, size)[:count]
    boxes = np.array([place for _, place in views])
    pixels = torch.stack([view for view, _ in views]).contiguous()
    return Views(pixels, to_fractions(boxes, *picture.shape[-2:]), torch.arange(len(views)) == NAMED.index("flip"))


def square(height: int, width: int, size: int, shorter: int = 0, across: int = 0, down: int = 0) -> Square:
    """A square of the picture with its shorter side resized to `shorter`, by default to `size`: then the plain view.

    `across` and `down` are −1, 0 or 1: the start, the middle or the end. Of a long strip that part is resized alone.
    """
    longest = LONGEST * min(height, width)
    w = width if width <= longest else longest + (width - longest) % 2  # the same parity: the middle stays exact
    h = height if height <= longest else longest + (height - longest) % 2
    shorter = shorter or size
    whole = shorter * w // min(w, h), shorter * h // min(w, h)  # truncated, as in torchvision
    slacks = ((width - w, across), (height - h, down), (whole[0] - size, across), (whole[1] - size, down))
    x, y, left, top = [(0, round(slack / 2), slack)[where + 1] for slack, where in slacks]
    return Square((x, y, w, h), whole, left, top, size)


def named_squares(height: int, width: int, size: int) -> list[Square]:
    """The squares of `NAMED`, in that order ("flip" has the plain one's).

    For the five crops the shorter side is resized to 8/7 of `size`.
    """
    plain, shorter = square(height, width, size), round(8 * size / 7)
    squares = [plain, plain, *(square(height, width, size, shorter, across, down) for across, down in CORNERS)]
    for share in SQUARES:
        side = max(1, round(share * min(height, width)))
        squares.append(Square(((width - side) // 2, (height - side) // 2, side, side), (size, size), 0, 0, size))
    return squares


def centre_view(picture: Tensor, size: int) -> tuple[Tensor, Place]:
    """The plain view [3, s, s] of a picture [1, 3, h, w] uint8 and its place: shorter side to `size`, central part."""
    height, width = picture.shape[-2:]
    one = square(height, width, size)
    whole = _resize(picture, one.part, one.whole)
    return whole[:, one.top : one.top + size, one.left : one.left + size], one.place


def named_views(picture: Tensor, size: int) -> list[tuple[Tensor, Place]]:
    """The ten views of `NAMED`, [3, s, s] each, and their places, in that order."""
    height, width = picture.shape[-2:]
    squares = named_squares(height, width, size)
    resized = {key: _resize(picture, *key) for key in {(one.part, one.whole) for one in squares}}  # some share theirs
    views: list[tuple[Tensor, Place]] = []
    for name, one in zip(NAMED, squares):
        view = resized[one.part, one.whole][:, one.top : one.top + size, one.left : one.left + size]
        views.append((view.flip(-1) if name == "flip" else view, one.place))
    return views


def _resize(picture: Tensor, part: tuple[int, int, int, int], whole: tuple[int, int]) -> Tensor:
    """A part of a picture [1, 3, h, w], resized to the width and height `whole`, [3, h, w]."""
    left, top, width, height = part
    picture = picture[..., top : top + height, left : left + width]
    if (width, height) != whole:
        picture = F.interpolate(picture, size=whole[::-1], mode="bicubic", antialias=True)
    return picture[0]
