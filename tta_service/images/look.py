"""One picture to the views that a strategy asks for. View i is drawn from (seed, i), however many are cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.errors import BadParameters
from ..core.views import Views
from . import augmix, crops, plain
from .draws import uniforms

AUGMENTS = ("crop", "augmix", "named")


def look(pixels: Tensor, size: int, count: int, seed: int, augment: str = "crop") -> Views:
    """[3, h, w] uint8 to `count` views of `size`, row 0 the plain one.

    "crop": random resized crops and flips. "augmix": AugMix on top of these (arXiv:1912.02781). "named": the fixed ten
    of `plain.NAMED`, or the first of them. Raises `BadParameters` for any other word, or an eleventh named view.
    """
    if augment not in AUGMENTS:
        raise BadParameters(f"no views are called {augment!r}; there are {', '.join(AUGMENTS)}", "augment")
    if augment == "named" and count > len(plain.NAMED):
        raise BadParameters(f"there are {len(plain.NAMED)} named views, not {count}", "views")
    picture = pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1)[None]  # three bytes a pixel: no copy if it is so
    if augment == "named":
        return _named(picture, size, count)
    return _random(picture, size, count, seed, mixed=augment == "augmix")


def _random(picture: Tensor, size: int, count: int, seed: int, *, mixed: bool) -> Views:
    height, width = picture.shape[-2:]
    draws = uniforms(seed, count, crops.DRAWS + augmix.DRAWS)  # row 0 draws too, and is not looked at
    places, large = crops.snapped(crops.boxes(height, width, draws), size)
    flipped = crops.flips(draws)
    views = torch.empty(count, 3, size, size, dtype=torch.uint8)
    views[0], place = plain.centre(picture, size)
    flipped[0] = False
    crops.cut(picture, places[1:], large[1:], flipped[1:], views[1:])
    if mixed:
        for view, row in zip(views[1:], draws[1:, crops.DRAWS :]):
            view.copy_(augmix.mix(view, row))
    boxes = np.concatenate([np.array([place]), places[1:]])
    return Views(views, _shares(boxes, height, width), torch.from_numpy(flipped))


def _named(picture: Tensor, size: int, count: int) -> Views:
    views = plain.named(picture, size)[:count]
    boxes = np.array([place for _, place in views])
    pixels = torch.stack([view for view, _ in views]).contiguous()
    return Views(pixels, _shares(boxes, *picture.shape[-2:]), torch.arange(len(views)) == plain.NAMED.index("flip"))


def _shares(boxes: np.ndarray, height: int, width: int) -> Tensor:
    return torch.from_numpy(boxes / np.array([width, height, width, height])).float()  # [v, 4] of the picture's sides
