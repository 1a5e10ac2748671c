"""What a strategy sees of an image: its views, and their features beside the label set's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .labels import TextSpace


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


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The view features of one image against one text space."""

    views: Tensor  # [v, d] unit norm, row 0 the plain image
    text: TextSpace
    kept: Tensor | None = None  # [k] confident rows, chosen before a second encoding; None: the strategy chooses
    time: float | None = None  # Unix seconds, of a lesson: when its image was seen

    def logits(self, text_features: Tensor | None = None) -> Tensor:
        """[v, c], scaled cosines against `text_features` [c, d] (the text space's own by default)."""
        text = self.text.features if text_features is None else text_features
        return self.text.scale * self.views @ text.T
