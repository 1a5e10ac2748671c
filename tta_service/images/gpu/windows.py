"""The positions of many views of one picture as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import Square
from .resize import Filter, Taps, make_taps


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


def square_windows(wanted: list[Square], mirrored: NDArray[np.bool_]) -> Windows:
    """Windows of the deterministic squares; `mirrored` [v] says which are flipped."""
    part, whole = np.array([one.part for one in wanted]), np.array([one.whole for one in wanted])
    corner = np.array([(one.left, one.top) for one in wanted])
    return Windows(np.arange(len(wanted)), part, whole, corner, mirrored)


def crop_windows(rows: NDArray[np.int64], places: NDArray[np.int64], mirrored: NDArray[np.bool_], size: int) -> Windows:
    """Windows of crops [v, 4], each resized as a whole to `size`."""
    square = np.full((len(rows), 2), size)
    return Windows(rows, places, square, np.zeros_like(square), mirrored)
