"""Antialiased resize as matrix products, with the weights of torch's own kernels, for many parts of a picture at once.

Along one side an output pixel is a weighted mean of the pixels around its centre. Where the part shrinks, the filter is
stretched by the same factor. Pixels outside the part have no weight, and the weights sum to one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Side = NDArray[np.int64]  # one number for each of v parts


@dataclass(frozen=True, slots=True)
class Filter:
    """A resampling filter: a weight for each distance from the centre, 0 from `radius` on."""

    radius: int
    of: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """The input pixels that contribute to output pixel s of part v.

    They are few, so the host computes them. It does so in double precision, because a thousandth of a pixel is a grey
    level at an edge.
    """

    numbers: NDArray[
        np.float32
    ]  # [v, s, 5] first pixel, its distance from the centre, stretch, the part's start and end
    count: int  # pixels from the first to the last, at most


def make_taps(start: Side, length: Side, whole: Side, corner: Side, mirrored: Side, size: int, radius: int) -> Taps:
    """The taps of `size` output pixels from `corner` on, in reverse order if `mirrored`.

    A part begins at `start`, is `length` pixels long, and `whole` pixels after the resize. All are [v].
    """
    stretched = (length / whole)[:, None]  # [v, 1]
    out = np.arange(size)
    out = corner[:, None] + np.where(mirrored[:, None] != 0, size - 1 - out, out)  # [v, s]
    out = np.concatenate(
        [out, np.zeros_like(out[:, :1]), whole[:, None] - 1], 1
    )  # and both ends, whose weights are the largest
    centre = start[:, None] + stretched * (out + 0.5)
    stretch = np.maximum(stretched, 1.0)
    first = np.floor(centre - radius * stretch + 0.5)
    numbers = first, first + 0.5 - centre, stretch, start[:, None], (start + length)[:, None]
    numbers = np.stack(np.broadcast_arrays(*numbers), -1).astype(np.float32)
    return Taps(numbers, int(np.ceil(2 * radius * stretch.max())) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The weight of each input pixel for each output pixel.

    In half precision there are two parts, whose sum is as exact as float32.
    """

    at: Tensor  # [..., v, s, k] input pixels; those with weight 0 may be outside the picture
    parts: tuple[Tensor, ...]  # each [..., v, s, k]

    def of(self, side: int) -> Weights:
        """One side of weights [2, v, s, k]."""
        return Weights(self.at[side], tuple(part[side] for part in self.parts))

    def dense(self, total: int, views: slice = slice(None)) -> tuple[Tensor, ...]:
        """The `views` of weights [v, s, k] as matrices [v, s, total] over all input pixels."""
        at = self.at[views].clamp(0, total - 1)
        shape = (*at.shape[:2], total)
        return tuple(part.new_zeros(shape).scatter_add_(-1, at, part[views]) for part in self.parts)


def make_weights(numbers: Tensor, count: int, kernel: Filter, dtype: torch.dtype) -> Weights:
    """The weights of `Taps` [..., v, s + 2, 5], of at most `count` pixels each, on the device of `numbers`.

    The last two taps are used for the largest weight only.
    """
    first, gap, stretch, start, end = numbers[..., None].unbind(-2)  # each [..., v, s + 2, 1]
    steps = torch.arange(count, device=numbers.device)
    at = first.long() + steps  # [..., v, s + 2, count]
    share = kernel.of((gap + steps) / stretch) * ((at >= start) & (at < end))
    at, share = at[..., :-2, :], _to_fixed_point(share / share.sum(-1, keepdim=True))[..., :-2, :]
    if dtype == share.dtype:
        return Weights(at, (share,))
    most = share.to(dtype)
    return Weights(at, (most, (share - most).to(dtype)))


def resize(levels: Tensor, down: tuple[Tensor, ...], across: tuple[Tensor, ...]) -> Tensor:
    """Levels [h, 3, w] by weights [v, y, h] and [v, x, w] to whole levels [v, 3, y, x] in float32."""
    rows = _round([_product(torch.mm, levels.flatten(0, 1), part.flatten(0, 1).T) for part in across])  # [3 h, v x]
    rows = rows.unflatten(1, across[0].shape[:2]).unflatten(0, levels.shape[:2]).permute(2, 0, 1, 3)  # [v, h, 3, x]
    rows = torch.empty(rows.shape, dtype=levels.dtype, device=levels.device).copy_(rows).flatten(2)
    views = _round([_product(torch.bmm, part, rows) for part in down])  # [v, y, 3 x]
    return views.unflatten(2, (3, -1)).transpose(1, 2)


def _product(multiply: Callable[..., Tensor], a: Tensor, b: Tensor) -> Tensor:
    """The product in float32, also of half-precision factors."""
    if a.dtype == torch.float32:
        return multiply(a, b)
    if a.device.type == "cuda":
        return multiply(a, b, out_dtype=torch.float32)
    return multiply(a.float(), b.float())  # the same numbers; the CPU has no product with `out_dtype`


def _round(parts: list[Tensor]) -> Tensor:
    """The sum of the parts, rounded to whole grey levels with halves upwards. In place."""
    first, *others = parts
    for other in others:
        first.add_(other)
    return first.add_(0.5).floor_().clamp_(0, 255)


def _to_fixed_point(share: Tensor) -> Tensor:
    """Round weights [..., v, s, k] to fixed point as torch's kernel for bytes does.

    The unit is the smallest power of two with which the largest weight of a part is below 2¹⁵ units. Products with grey
    levels and their sums are then exact in float32, in any order, unless a part shrinks to less than a fourth.
    """
    most = share.amax((-1, -2), keepdim=True)
    finest = (((2**15 - 0.5) / most).log2().ceil() - 1).clamp(0, 22).exp2()
    return (share.abs() * finest + 0.5).floor() * share.sign() / finest


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp_min(0)


def _cubic(x: Tensor, a: float = -0.5) -> Tensor:
    """Keys, 1981, doi:10.1109/TASSP.1981.1163711, equation 15."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


BILINEAR, BICUBIC = Filter(1, _triangle), Filter(2, _cubic)
