"""One block's tokens, keys and queries, and a tower to pass them through."""

from __future__ import annotations

import torch
from torch import Tensor

HEADS, WIDTH = 2, 12


def block(rows: int = 3, patches: int = 13, prefix: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x [b, n, w], q and k [b, h, n, e]."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, prefix + patches, WIDTH, generator=draw)
    q, k = (torch.randn(rows, HEADS, prefix + patches, 6, generator=draw) for _ in range(2))
    return x, q, k


def some_sizes(rows: int, n: int, seed: int = 1) -> Tensor:
    return torch.randint(1, 5, (rows, n), generator=torch.Generator().manual_seed(seed)).float()
