"""Multi-head attention over tokens that may stand for several patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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


def split_heads(x: Tensor, count: int) -> Tensor:
    """Split the width of x [b, n, w] into heads [b, h, n, e]."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Undo `split_heads`: [b, h, n, e] to [b, n, w]."""
    return x.transpose(1, 2).flatten(2)


def weighted_mean(x: Tensor, sizes: Tensor | None) -> Tensor:
    """Mean [b, w] over tokens x [b, n, w], each counted `sizes` [b, n] times."""
    if sizes is None:
        return x.mean(1)
    share = sizes / sizes.sum(1, keepdim=True)
    return torch.einsum("bnw,bn->bw", x, share.to(x.dtype))
