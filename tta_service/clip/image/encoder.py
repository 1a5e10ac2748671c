"""The interface of an image encoder, and the eager encoder by torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from ...core.errors import Unsupported
from ...core.reducer import Reducer
from ...core.token_map import TokenMap
from .token_map import map_tokens
from .tower import ImageTower, encode

FIELD = "options.reduction.reducer.name"


class ImageEncoder(Protocol):
    """Normalised pixels [b, 3, s, s] to features [b, d], not normalised. Reducer None: no reduction."""

    @property
    def reducible(self) -> bool:
        """Whether the tower is taken apart, so that reducers can act in it."""
        ...

    def check(self, reducer: Reducer) -> None:
        """Raises `Unsupported` for a reducer that it does not run."""
        ...

    def tokens_left(self, reducer: Reducer) -> tuple[int, ...]:
        """Patch tokens of a view after each block. Empty for a tower run whole."""
        ...

    def map_tokens(self, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None) -> TokenMap | None:
        """Of one picture [1, 3, s, s]. None: this encoder does not tell."""
        ...

    def __call__(self, pixels: Tensor, reducer: Reducer | None = None, guide: Tensor | None = None) -> Tensor: ...


def layout_of(pixels: Tensor) -> torch.memory_format:
    """Whether pixels [b, 3, s, s] lie channels-last in memory or as planes."""
    return torch.channels_last if pixels.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


class EagerEncoder:
    """Runs the tower operation by operation, with any reducer.

    `tower` may be the reason why it cannot be taken apart; then `whole(pixels)` runs it. `blank` [1, 3, s, s] is an
    image in the tower's precision and memory layout, `dimension` that of its features. More than `most_rows` rows
    (0: no limit) are run in several passes.
    """

    def __init__(
        self,
        tower: ImageTower | str,
        whole: Callable[[Tensor], Tensor],
        blank: Tensor,
        dimension: int,
        name: str = "",
        most_rows: int = 0,
    ) -> None:
        self.tower, self.blank, self._most_rows = tower, blank, most_rows
        self._layout = layout_of(blank)
        self._whole, self._dimension, self._name = whole, dimension, name or "this model"
        self._left = lru_cache(256)(self._count_left)

    @property
    def reducible(self) -> bool:
        """Whether the tower could be taken apart."""
        return not isinstance(self.tower, str)

    def check(self, reducer: Reducer) -> None:
        """Raises `Unsupported` when this tower cannot run the reducer."""
        if isinstance(self.tower, str):
            if reducer.name != "none":
                raise Unsupported(f"{self._name} cannot reduce tokens: {self.tower}", FIELD)
        elif reducer.guide_in_tokens and self.tower.guide_to_tokens is None:
            why = "its features are no projection of single tokens"
            raise Unsupported(f"{self._name} cannot compare patches with text: {why}", FIELD)

    def tokens_left(self, reducer: Reducer | None) -> tuple[int, ...]:
        """Patch tokens of a view after each block, counted once a reducer; empty for a tower run whole."""
        return () if isinstance(self.tower, str) else self._left(reducer)

    def map_tokens(self, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None) -> TokenMap | None:
        """None for a tower run whole."""
        if isinstance(self.tower, str):
            return None
        pixels = pixels.to(self.blank, memory_format=self._layout)
        return map_tokens(self.tower, pixels, reducer, None if guide is None else guide.to(pixels))

    def __call__(self, pixels: Tensor, reducer: Reducer | None = None, guide: Tensor | None = None) -> Tensor:
        if reducer is not None:
            self.check(reducer)
        pixels = pixels.to(self.blank, memory_format=self._layout)
        if isinstance(self.tower, str):
            return self._whole(pixels)
        guide = None if guide is None else guide.to(pixels)
        if not self._most_rows:
            return encode(self.tower, pixels, reducer, guide)
        return torch.cat([encode(self.tower, part, reducer, guide) for part in pixels.split(self._most_rows)])

    @torch.no_grad()
    def _count_left(self, reducer: Reducer | None) -> tuple[int, ...]:
        assert not isinstance(self.tower, str)
        left: list[int] = []
        encode(self.tower, self.blank, reducer, self.blank.new_zeros(1, self._dimension), left)
        return tuple(left)
