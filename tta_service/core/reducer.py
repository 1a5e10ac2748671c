"""The protocol of a token reduction, which acts on the image tower's tokens between attention and MLP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor


class Reducer(ABC):
    """A token reduction. An instance is a frozen dataclass of its parameters.

    Token counts follow from shapes alone, so a row's result is independent of its batch. Implementations therefore use
    neither `.item()` nor a loop over rows.
    """

    name: ClassVar[str]
    guided: ClassVar[bool] = False  # True: it reads the label set, and batches hold one label set only
    guide_in_tokens: ClassVar[bool] = False  # True: its guide is in the space of tokens, [c, w], see `reduce`

    @abstractmethod
    def reduce(
        self,
        layer: int,
        layers: int,
        x: Tensor,
        sizes: Tensor | None,
        q: Tensor,
        k: Tensor,
        prefix: int,
        guide: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Fewer tokens than came in, or the same.

        x [b, n, w] tokens after attention; sizes [b, n] patches per token, None: one each (no bias, plain kernel);
        q, k [b, h, n, e] of this layer; prefix: class and register tokens at the front, which stay (0 for SigLIP);
        guide [c, d] the label set's text features, only if `guided`; with `guide_in_tokens` the same pulled back
        through the tower's last projection, [c, w], to be multiplied with tokens of mean 0 and variance 1.
        `layer` counts from 0.
        """


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reducer and which views it applies to."""

    reducer: Reducer
    scope: Literal["all", "augmented", "two_looks"] = "all"
