"""An image as the tower sees it: the plain view and its augmented siblings."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Views:
    """Views of one image, row 0 the plain one. They travel as uint8; the tower normalises."""

    pixels: Tensor  # [v, 3, s, s] uint8; where the tower is, when they were cut there
    boxes: Tensor  # [v, 4] float32: left, top, width, height of the crop in the image, 0..1
    flipped: Tensor  # [v] bool

    def __len__(self) -> int:
        return len(self.pixels)

    def first(self, count: int) -> Views:
        """The first `count` rows: what a request with fewer views gets."""
        return Views(self.pixels[:count], self.boxes[:count], self.flipped[:count])
