"""Which patches of a picture are one token after the reducer, and how much attention each gets in the last block."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...core.reducer import Reducer
from ...core.token_map import TokenMap
from ...maths import pull_back
from .tower import ImageTower, encode


@torch.no_grad()
def map_tokens(
    tower: ImageTower, pixels: Tensor, reducer: Reducer | None = None, guide: Tensor | None = None
) -> TokenMap | None:
    """The map of one picture, normalised pixels [1, 3, s, s]. None: its patches are no square.

    The attention is that of the class token, averaged over heads; where features are a mean of all tokens, the mean of
    theirs.
    """
    recorder, seen = _Recorder(reducer), list[tuple[Tensor, ...]]()
    *others, last = tower.blocks

    def project(x: Tensor) -> tuple[Tensor, ...]:
        seen.append(last.project(x))
        return seen[0]

    encode(replace(tower, blocks=(*others, replace(last, project=project))), pixels, recorder, guide)
    (q, k, _) = seen[0]
    tokens = torch.arange(k.shape[2] - tower.prefix) if recorder.tokens is None else recorder.tokens
    if round(len(tokens) ** 0.5) ** 2 != len(tokens):
        return None
    attention = _attention(q, k, tower, recorder.sizes).cpu()
    kept = tokens >= 0
    share = attention / torch.bincount(tokens[kept], minlength=len(attention)).clamp(min=1)
    return TokenMap(torch.where(kept, share[tokens.clamp(min=0)], 0), tokens)


def _attention(q: Tensor, k: Tensor, tower: ImageTower, sizes: Tensor | None) -> Tensor:
    """[p], how much of the attention over patches goes to each; sums to 1."""
    queries = q[0, :, :1] if tower.class_only else q[0, :, tower.prefix :]
    logits = queries.float() @ k[0].float().transpose(-1, -2) * q.shape[-1] ** -0.5
    logits = logits if sizes is None else logits + sizes[0].float().log()
    attention = logits.softmax(-1).mean((0, 1))[tower.prefix :]
    return attention / attention.sum()


class _Recorder(Reducer):
    """Another reducer, or none, that records where each patch goes.

    With its choice of tokens made, a reducer is linear in them and the same in each channel. So one vector-Jacobian
    product with a channel for each token that comes out tells the share of every token that went in.
    """

    name = "recorder"

    def __init__(self, inner: Reducer | None) -> None:
        self.inner, self.guide_in_tokens = inner, inner is not None and inner.guide_in_tokens  # type: ignore[misc]
        self.tokens: Tensor | None = None  # [p] the token of each patch
        self.sizes: Tensor | None = None

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
        """What the other reducer gives."""
        if self.inner is None:
            return x, sizes
        if self.tokens is None:
            self.tokens = torch.arange(x.shape[1] - prefix)
        with torch.enable_grad():
            given = x.detach().requires_grad_()
            out, self.sizes = self.inner.reduce(layer, layers, given, sizes, q, k, prefix, guide)
            if out is not given:
                goes = _destinations(given, out, prefix)
                self.tokens = torch.where(self.tokens >= 0, goes[self.tokens.clamp(min=0)], -1)
        return out.detach(), self.sizes


def _destinations(given: Tensor, out: Tensor, prefix: int) -> Tensor:
    """For each patch of `given` [1, n, w] the patch of `out` [1, m, w] that has most of it, [n - prefix]; -1: none."""
    shares = list[Tensor]()  # [n, m]
    for begin in range(0, out.shape[1], out.shape[2]):
        rows = out[:, begin : begin + out.shape[2]]
        channels = torch.eye(rows.shape[1], out.shape[2], dtype=out.dtype, device=out.device)[None]
        (gradient,) = pull_back(rows, [given], channels, keep_graph=True)
        shares.append(gradient[0, :, : rows.shape[1]])
    share, goes = torch.cat(shares, 1)[prefix:, prefix:].float().max(1)
    return torch.where(share > 0, goes, -1).cpu()
