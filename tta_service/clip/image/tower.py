"""Our forward pass over open_clip's own modules. A reducer may act between attention and MLP.

The modules are neither patched nor changed, so several reducers share one set of weights in several threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ...core.reducer import Reducer
from ...maths import pull_back


@dataclass(frozen=True, eq=False)
class Block:
    """The three parts of a pre-norm transformer block."""

    project: Callable[[Tensor], tuple[Tensor, ...]]  # x [b, n, w] -> q, k, v [b, h, n, e]
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


def encode(
    tower: ImageTower,
    pixels: Tensor,
    reducer: Reducer | None = None,
    guide: Tensor | None = None,
    left: list[int] | None = None,
) -> Tensor:
    """Normalised pixels [b, 3, s, s] to features [b, d], not normalised. Adds each block's patch tokens to `left`.

    The reducer runs after the attention of every block but the last, which only the pool follows.
    """
    x, sizes = tower.embed(pixels), None
    if reducer is not None and guide is not None and reducer.guide_in_tokens and tower.guide_to_tokens is not None:
        guide = tower.guide_to_tokens(guide)
    layers, patches = len(tower.blocks), x.shape[1] - tower.prefix
    for layer, block in enumerate(tower.blocks):
        last = layer == layers - 1
        q, k, v = block.project(x)
        if last and tower.class_only:
            q, x = q[:, :, :1], x[:, :1]
        x = x + block.combine(attend(q, k, v, sizes))
        if reducer is not None and not last:
            x, sizes = reducer.reduce(layer, layers, x, sizes, q, k, tower.prefix, guide)
            patches = x.shape[1] - tower.prefix
        if left is not None:
            left.append(patches)
        x = x + block.mlp(x)
    return tower.pool(x, sizes)


def attend(q: Tensor, k: Tensor, v: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Attention [b, h, m, e] of queries q [b, h, m, e] over keys and values [b, h, n, e].

    With `sizes` [b, n] a token that stands for s patches has s times the weight: log s is added to its logits
    (proportional attention, Bolya et al., 2023, arXiv:2210.09461).
    """
    if sizes is None:
        return F.scaled_dot_product_attention(q, k, v)
    votes = sizes.log().to(q.dtype)[:, None]  # [b, 1, n]
    if q.device.type == "cpu":  # its fast kernel takes a mask
        return F.scaled_dot_product_attention(q, k, v, votes[:, :, None])
    return attend_without_mask(q, k, v, votes)


def attend_without_mask(q: Tensor, k: Tensor, v: Tensor, votes: Tensor) -> Tensor:
    """`attend` for devices whose fast kernels take no mask. `votes` [b, 1, n] are the log sizes.

    They become one more feature of k. The same feature of q is √e, which the scale 1/√e cancels.
    """
    e = q.shape[-1]
    pad = 8 - e % 8  # kernels want a head width divisible by eight
    q, k, v = F.pad(q, (0, pad)), F.pad(k, (0, pad)), F.pad(v, (0, pad))
    q[..., e], k[..., e] = e**0.5, votes
    return F.scaled_dot_product_attention(q, k, v, scale=e**-0.5)[..., :e]


def weighted_mean(x: Tensor, sizes: Tensor | None) -> Tensor:
    """Mean [b, w] over tokens x [b, n, w], each counted `sizes` [b, n] times."""
    if sizes is None:
        return x.mean(1)
    share = sizes / sizes.sum(1, keepdim=True)
    return torch.einsum("bnw,bn->bw", x, share.to(x.dtype))


def recompute(run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`run(*inputs)`, which must be pure. Only the inputs are stored for the backward pass, which runs it again.

    For cheap steps with large inner values.
    """
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in inputs):
        return run(*inputs)
    return _Recompute.apply(run, *inputs)  # type: ignore[no-any-return]


class _Recompute(torch.autograd.Function):
    @staticmethod
    def forward(node: Any, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        node.run = run
        node.save_for_backward(*inputs)
        return run(*inputs)

    @staticmethod
    @once_differentiable
    def backward(node: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            again = [x.detach().requires_grad_() for x in node.saved_tensors]
            return None, *pull_back(node.run(*again), again, d_out)
