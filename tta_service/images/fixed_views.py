"""Deterministic views: the plain one, and ten named ones. Bicubic with antialias, as in CLIP's own transform.

Their positions are shared by the code that cuts them on the CPU, here, and on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

Place = tuple[float, float, float, float]  # left, top, width, height in pixels of the picture
CROPS = ("top_left", "top_right", "bottom_left", "bottom_right", "centre")
CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0))  # of CROPS: across, down
NAMED = ("plain", "flip", *CROPS, "nine_tenths", "three_quarters", "three_fifths")
SQUARES = (0.9, 0.75, 0.6)  # of the shorter side
LONGEST = 32  # largest ratio of sides; a longer strip is cropped, or 1 × 8192 would become 224 × 1.8 million


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
    crops = [square(height, width, size, shorter, across, down) for across, down in CORNERS]
    squares: list[Square] = []
    for share in SQUARES:
        side = max(1, round(share * min(height, width)))
        squares.append(Square(((width - side) // 2, (height - side) // 2, side, side), (size, size), 0, 0, size))
    return [plain, plain, *crops, *squares]


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
