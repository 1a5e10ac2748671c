"""Our forward pass over open_clip's own modules. A reducer may act between attention and MLP.

The modules are neither patched nor changed, so several reducers share one set of weights in several threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...core.reducer import Reducer
from .attention import attend


@dataclass(frozen=True, eq=False)
class Block:
    """The three parts of a pre-norm transformer block."""

    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # x [b, n, w] -> q, k, v [b, h, n, e]
    combine: Callable[[Tensor], Tensor]  # [b, h, n, e] -> what attention adds, [b, n, w]
    mlp: Callable[[Tensor], Tensor]  # x [b, n, w] -> what the MLP adds


@dataclass(frozen=True, eq=False)
class ImageTower:
    """A vision transformer taken apart. `prefix` tokens (class, registers) precede the patches."""

    embed: Callable[[Tensor], Tensor]  # normalised pixels [b, 3, s, s] -> tokens [b, n, w]
    blocks: tuple[Block, ...]
    pool: Callable[[Tensor, Tensor | None], Tensor]  # tokens [b, n, w], sizes [b, n - prefix]? -> features [b, d]
    prefix: int
    class_only: bool  # the pool reads token 0 only, so the last block computes no other
    # Text features [c, d] pulled back through the last projection, [c, w], to be multiplied with normalised tokens.
    guide_to_tokens: Callable[[Tensor], Tensor] | None = None


def encode(tower: ImageTower, pixels: Tensor, reducer: Reducer | None = None, guide: Tensor | None = None) -> Tensor:
    """Normalised pixels [b, 3, s, s] to features [b, d], not normalised."""
    return _forward(tower, pixels, reducer, guide)[0]


def count_patches_left(
    tower: ImageTower, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None
) -> tuple[int, ...]:
    """Patch tokens after each block."""
    return _forward(tower, pixels, reducer, guide)[1]


def _forward(
    tower: ImageTower, pixels: Tensor, reducer: Reducer | None, guide: Tensor | None
) -> tuple[Tensor, tuple[int, ...]]:
    """The reducer runs after the attention of every block but the last, which only the pool follows."""
    x, sizes = tower.embed(pixels), None
    if reducer is not None and guide is not None and reducer.guide_in_tokens and tower.guide_to_tokens is not None:
        guide = tower.guide_to_tokens(guide)
    layers, left = len(tower.blocks), [x.shape[1] - tower.prefix]
    for layer, block in enumerate(tower.blocks):
        last = layer == layers - 1
        q, k, v = block.project(x)
        if last and tower.class_only:
            q, x = q[:, :, :1], x[:, :1]
        x = x + block.combine(attend(q, k, v, sizes))
        if reducer is not None and not last:
            x, sizes = reducer.reduce(layer, layers, x, sizes, q, k, tower.prefix, guide)
        left.append(left[-1] if last else x.shape[1] - tower.prefix)
        x = x + block.mlp(x)
    return tower.pool(x, sizes), tuple(left[1:])
