"""No token reduction: every patch token reaches the end of the tower."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core.catalogue import register_reducer
from ..core.reducer import Reducer


@register_reducer("none")
@dataclass(frozen=True)
class NoReduction(Reducer):
    """Returns the tokens unchanged."""

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
        """The tokens and sizes as they are."""
        return x, sizes
