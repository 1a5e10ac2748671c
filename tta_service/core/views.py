"""The views of an image that the tower encodes: the plain one and augmented ones."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Views:
    """Views of one image, row 0 the plain one. Pixels are uint8; the tower normalises them."""

    pixels: Tensor  # [v, 3, s, s] uint8, on the CPU or on the tower's device
    boxes: Tensor  # [v, 4] float32: left, top, width, height of the crop in the image, 0..1
    flipped: Tensor  # [v] bool

    def __len__(self) -> int:
        return len(self.pixels)

    def first(self, count: int) -> Views:
        """The first `count` rows, which are the views of the same seed with a smaller count."""
        return Views(self.pixels[:count], self.boxes[:count], self.flipped[:count])
