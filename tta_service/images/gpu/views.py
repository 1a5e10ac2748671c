"""Cuts views on the tower's device, from one picture that is uploaded once as bytes.

A resize is linear along each side, so a view is two matrix products, and those of many views are one large product
each, which a GPU does fast. The host draws crops and flips, as for `look`. The filters and the rounding of weights and
of each product are those of torch's kernel for bytes, so that nearly all pixels equal those of `look` and none differs
by more than a grey level.

AugMix runs on the CPU, and its views are uploaded, because its operations are Pillow's, histograms among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.evidence import Views
from ..views import NAMED, Square, check, draw, look, make_cpu_look, named_squares, square, to_fractions
from .resize import BICUBIC, BILINEAR, Filter, Taps, make_taps, make_weights, resize

AT_ONCE = 160 << 20  # bytes of weights and intermediate views, without the picture itself
ALIGNED = 8  # fast half-precision products need sides divisible by this


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Views of one picture. Each is cut at `corner` from `part` after its resize to `whole`."""

    rows: NDArray[np.int64]  # [v] their indices among all views
    part: NDArray[np.int64]  # [v, 4] left, top, width, height in pixels
    whole: NDArray[np.int64]  # [v, 2] width, height
    corner: NDArray[np.int64]  # [v, 2] left, top
    mirrored: NDArray[np.bool_]  # [v]

    def taps(self, side: int, size: int, kernel: Filter) -> Taps:
        """The taps of `size` pixels across (`side` 0) or down (1)."""
        mirrored = self.mirrored.astype(np.int64) if side == 0 else np.zeros(len(self.rows), np.int64)
        part = self.part[:, side], self.part[:, 2 + side]
        return make_taps(*part, self.whole[:, side], self.corner[:, side], mirrored, size, kernel.radius)


def make_look(device: torch.device, size: int) -> Callable[[Tensor, int, int, str], Views]:
    """A function of picture, count, seed and augment that cuts views of `size` for a tower on that device."""
    if device.type == "cpu":
        return make_cpu_look(size)
    return lambda pixels, count, seed, augment: look_on_device(device, pixels, size, count, seed, augment)


def look_on_device(
    device: torch.device,
    pixels: Tensor,
    size: int,
    count: int,
    seed: int,
    augment: str = "crop",
    dtype: torch.dtype | None = None,
) -> Views:
    """`look`, with the views' pixels on the device; boxes and flips are on the host. It does not wait for the device.

    `dtype` is that of the factors; None: float16 on CUDA, else float32. float16 holds grey levels exactly, and weights
    in two parts; two products in float16 cost less than one in float32.
    """
    check(augment, count)
    if augment == "augmix":
        views = look(pixels, size, count, seed, augment)
        return Views(upload(views.pixels, device), views.boxes, views.flipped)
    height, width = pixels.shape[-2:]
    dtype = dtype or (torch.float16 if device.type == "cuda" and torch.version.cuda else torch.float32)
    levels = _levels(upload(pixels.permute(1, 2, 0).contiguous(), device), dtype)
    out = torch.empty(count, 3, size, size, dtype=torch.uint8, device=device)
    if augment == "named":
        wanted = named_squares(height, width, size)[:count]
        mirrored = np.arange(count) == NAMED.index("flip")
        _fill(out, levels, _square_windows(wanted, mirrored), BICUBIC)
        places = np.array([one.place for one in wanted])
    else:
        draws, centre = draw(height, width, size, count, seed), square(height, width, size)
        places, mirrored = np.concatenate([np.array([centre.place]), draws.places[1:]]), draws.mirrored
        _fill(out, levels, _square_windows([centre], mirrored[:1]), BICUBIC)
        rows = np.arange(1, count)
        small, large = rows[~draws.large[1:]], rows[draws.large[1:]]
        _fill(out, levels, _crop_windows(small, draws.places[small], mirrored[small], size), BILINEAR)
        if len(large):
            half = _halve(levels, height, width)
            _fill(out, half, _crop_windows(large, draws.places[large] // 2, mirrored[large], size), BILINEAR)
    return Views(out, to_fractions(places, height, width), torch.from_numpy(mirrored))


def upload(x: Tensor, device: torch.device) -> Tensor:
    """Copy to the device; on CUDA through pinned memory, so that the host does not wait."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def at_once(size: int, height: int, width: int) -> int:
    """How many views of a picture are cut together, so that they take about `AT_ONCE` bytes."""
    return max(1, AT_ONCE // (4 * size * (height + width + 8 * height + 8 * size)))


def _fill(out: Tensor, levels: Tensor, windows: Windows, kernel: Filter) -> None:
    """Cut the windows from levels [h, 3, w] into their rows of out [v, 3, s, s]."""
    height, _, width = levels.shape
    size, count = out.shape[-1], len(windows.rows)
    if not count:
        return
    across, down = (windows.taps(side, size, kernel) for side in (0, 1))
    rows, numbers = (
        upload(torch.from_numpy(array), out.device)
        for array in (windows.rows, np.stack([across.numbers, down.numbers]))
    )
    both = make_weights(numbers, max(across.count, down.count), kernel, levels.dtype)
    x, y = both.of(0), both.of(1)
    step = at_once(size, height, width)
    for chunk in (slice(start, start + step) for start in range(0, count, step)):
        views = resize(levels, y.dense(height, chunk), x.dense(width, chunk))
        out.index_copy_(0, rows[chunk], views.to(torch.uint8))


def _square_windows(wanted: list[Square], mirrored: NDArray[np.bool_]) -> Windows:
    """Windows of the deterministic squares; `mirrored` [v] says which are flipped."""
    part, whole = np.array([one.part for one in wanted]), np.array([one.whole for one in wanted])
    corner = np.array([(one.left, one.top) for one in wanted])
    return Windows(np.arange(len(wanted)), part, whole, corner, mirrored)


def _crop_windows(
    rows: NDArray[np.int64], places: NDArray[np.int64], mirrored: NDArray[np.bool_], size: int
) -> Windows:
    """Windows of crops [v, 4], each resized as a whole to `size`."""
    square = np.full((len(rows), 2), size)
    return Windows(rows, places, square, np.zeros_like(square), mirrored)


def _levels(picture: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes [h, w, 3] to levels [h, 3, w] with sides divisible by `ALIGNED`; the padding has weight 0."""
    height, width = picture.shape[:2]
    levels = torch.zeros(_align(height), 3, _align(width), dtype=dtype, device=picture.device)
    levels[:height, :, :width].copy_(picture.transpose(1, 2))
    return levels


def _halve(levels: Tensor, height: int, width: int) -> Tensor:
    """`random_crops.halve` of levels that hold a picture of `height` by `width` pixels."""
    h, w = height // 2, width // 2
    none, sides = np.zeros(1, np.int64), []
    for half, total in ((h, levels.shape[0]), (w, levels.shape[2])):
        taps_of_side = make_taps(none, np.array([2 * half]), np.array([half]), none, none, half, BICUBIC.radius)
        numbers = upload(torch.from_numpy(taps_of_side.numbers), levels.device)
        sides.append(make_weights(numbers, taps_of_side.count, BICUBIC, levels.dtype).dense(total))
    half = levels.new_zeros(_align(h), 3, _align(w))
    half[:h, :, :w].copy_(resize(levels, *sides)[0].transpose(0, 1))
    return half


def _align(side: int) -> int:
    return -(-side // ALIGNED) * ALIGNED
