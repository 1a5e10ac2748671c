"""Stripes: keep every second patch from the middle of the tower on. You, 2026, https://example.org."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tta_service import Reducer, register_reducer


@register_reducer("stripes")
@dataclass(frozen=True)
class Stripes(Reducer):
    """Its fields would be the parameters of a request; it has none."""

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
        """Tokens [b, n, w] and sizes [b, n], half of them after the block in the middle."""
        if layer != layers // 2:
            return x, sizes
        kept = [*range(prefix), *range(prefix, x.shape[1], 2)]
        return x[:, kept], None if sizes is None else sizes[:, kept]
