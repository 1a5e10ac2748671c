"""Cuts one picture into the views that a strategy needs. View i depends on (seed, i), not on the number of views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import BadParameters
from ..core.evidence import Views
from . import augmix
from . import random_crops as crops
from .fixed_views import NAMED, centre_view, named_views

AUGMENTS = ("crop", "augmix", "named")


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The random numbers of v views. Row 0 has some too, which are unused."""

    places: NDArray[np.int64]  # [v, 4] left, top, width, height in pixels
    large: NDArray[np.bool_]  # [v] cut from the half-size picture
    mirrored: NDArray[np.bool_]  # [v]
    rest: NDArray[np.float64]  # [v, augmix.DRAWS]


def look(pixels: Tensor, size: int, count: int, seed: int, augment: str = "crop") -> Views:
    """[3, h, w] uint8 to `count` views of `size`, row 0 the plain one.

    "crop": random resized crops and flips. "augmix": AugMix on top of these (arXiv:1912.02781). "named": the first
    `count` of the ten views of `fixed_views.NAMED`. Raises `BadParameters` for another word, or an eleventh named view.
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
