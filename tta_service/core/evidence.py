"""The input of a strategy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .labels import TextSpace


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The view features of one image against one text space."""

    views: Tensor  # [v, d] unit norm, row 0 the plain image
    text: TextSpace
    kept: Tensor | None = None  # [k] confident rows, chosen before a second encoding; None: the strategy chooses

    def logits(self, text_features: Tensor | None = None) -> Tensor:
        """[v, c], scaled cosines against `text_features` [c, d] (the text space's own by default)."""
        text = self.text.features if text_features is None else text_features
        return self.text.scale * self.views @ text.T
