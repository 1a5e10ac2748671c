"""Views without chance: the plain one, and the ten that have names. Bicubic with antialias, as CLIP's own transform."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from . import geometry as squares
from .geometry import NAMED, Place, Square

__all__ = ["NAMED", "Place", "centre_view", "named_views"]


def centre_view(picture: Tensor, size: int) -> tuple[Tensor, Place]:
    """The plain view of a picture [1, 3, h, w] uint8: shorter side to `size`, central square. [3, s, s] and place."""
    height, width = picture.shape[-2:]
    return _cut(picture, [squares.centre_square(height, width, size)])[0]


def named_views(picture: Tensor, size: int) -> list[tuple[Tensor, Place]]:
    """The ten views of `NAMED`, in that order."""
    height, width = picture.shape[-2:]
    views = _cut(picture, squares.named_squares(height, width, size))
    flip, (plain, place) = NAMED.index("flip"), views[0]
    views[flip] = plain.flip(-1), place
    return views


def _cut(picture: Tensor, wanted: list[Square]) -> list[tuple[Tensor, Place]]:
    """What several squares are cut from is resized once."""
    made: dict[tuple[object, object], Tensor] = {}
    views: list[tuple[Tensor, Place]] = []
    for one in wanted:
        if (one.part, one.whole) not in made:
            left, top, width, height = one.part
            made[one.part, one.whole] = _resize(picture[..., top : top + height, left : left + width], *one.whole)
        whole = made[one.part, one.whole]
        views.append((whole[:, one.top : one.top + one.size, one.left : one.left + one.size], one.place))
    return views


def _resize(picture: Tensor, width: int, height: int) -> Tensor:
    """[1, 3, h, w] to [3, height, width]."""
    if picture.shape[-2:] != (height, width):
        picture = F.interpolate(picture, size=(height, width), mode="bicubic", antialias=True)
    return picture[0]
