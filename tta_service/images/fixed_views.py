"""Deterministic views: the plain one, and ten named ones. Bicubic with antialias, as in CLIP's own transform."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from . import geometry as squares
from .geometry import NAMED, Place, Square

__all__ = ["NAMED", "Place", "centre_view", "named_views"]


def centre_view(picture: Tensor, size: int) -> tuple[Tensor, Place]:
    """The plain view [3, s, s] of a picture [1, 3, h, w] uint8 and its place: shorter side to `size`, central part."""
    height, width = picture.shape[-2:]
    return _cut(picture, [squares.centre_square(height, width, size)])[0]


def named_views(picture: Tensor, size: int) -> list[tuple[Tensor, Place]]:
    """The ten views of `NAMED`, [3, s, s] each, and their places, in that order."""
    height, width = picture.shape[-2:]
    views = _cut(picture, squares.named_squares(height, width, size))
    flip, (plain, place) = NAMED.index("flip"), views[0]
    views[flip] = plain.flip(-1), place
    return views


def _cut(picture: Tensor, wanted: list[Square]) -> list[tuple[Tensor, Place]]:
    """Cut the squares; a resized part that several squares share is computed once."""
    resized: dict[tuple[object, object], Tensor] = {}
    views: list[tuple[Tensor, Place]] = []
    for one in wanted:
        if (one.part, one.whole) not in resized:
            left, top, width, height = one.part
            resized[one.part, one.whole] = _resize(picture[..., top : top + height, left : left + width], *one.whole)
        whole = resized[one.part, one.whole]
        views.append((whole[:, one.top : one.top + one.size, one.left : one.left + one.size], one.place))
    return views


def _resize(picture: Tensor, width: int, height: int) -> Tensor:
    """[1, 3, h, w] to [3, height, width]."""
    if picture.shape[-2:] != (height, width):
        picture = F.interpolate(picture, size=(height, width), mode="bicubic", antialias=True)
    return picture[0]
