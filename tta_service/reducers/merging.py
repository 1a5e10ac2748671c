"""Parts of the merging reducers: similarity of keys, attention of the class token, the size-weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def similarity_metric(k: Tensor, prefix: int) -> Tensor:
    """Unit vectors [b, p, e] of the patches: their keys, averaged over heads."""
    return normalize(k[:, :, prefix:].float().mean(1), dim=-1)


def class_attention(q: Tensor, k: Tensor, prefix: int, sizes: Tensor | None = None) -> Tensor:
    """How much the class token attends to each patch [b, p], averaged over heads; sums to at most 1.

    In a tower without a class token (prefix 0) the mean query takes its place; that is ours and unpublished.
    """
    query = q[:, :, :1] if prefix else q.mean(2, keepdim=True)  # [b, h, 1, e]
    logits = (query.float() @ k.float().transpose(-1, -2))[:, :, 0] * q.shape[-1] ** -0.5  # [b, h, n]
    if sizes is not None:
        logits = logits + sizes.float().log()[:, None]
    return logits.softmax(-1).mean(1)[:, prefix:]


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Tokens x [b, n, w] (or [b, n]) at places [b, m]."""
    return x.gather(1, rows[..., None].expand(-1, -1, x.shape[-1]) if x.ndim == 3 else rows)


def merge(
    x: Tensor, sizes: Tensor | None, prefix: int, stay: Tensor, sources: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Merge each source into one of the patches that stay, as the mean weighted by size.

    x [b, n, w], sizes [b, n]; stay [b, m] and sources [b, r] are places among the patches, targets [b, r] places in
    `stay`. Gives x [b, prefix + m, w] in the order of `stay`, and sizes [b, prefix + m] in float32.
    """
    counts = torch.ones_like(x[..., 0], dtype=torch.float32) if sizes is None else sizes.float()
    patches, each = x[:, prefix:].float(), counts[:, prefix:]
    here, there = take(each, stay), take(each, sources)
    total = here.scatter_add(1, targets, there)
    weighted = take(patches, stay) * here[..., None]
    spread = targets[..., None].expand(-1, -1, x.shape[-1])
    weighted = weighted.scatter_add(1, spread, take(patches, sources) * there[..., None])
    merged = (weighted / total[..., None]).to(x.dtype)
    return torch.cat([x[:, :prefix], merged], 1), torch.cat([counts[:, :prefix], total], 1)


def merge_by_similarity(
    x: Tensor, sizes: Tensor | None, metric: Tensor, prefix: int, count: int, protected: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Merge `count` patches into the patch that is most similar to each (Bolya et al., 2023, arXiv:2210.09461).

    Patches at even places are sources, those at odd places targets; the most similar pairs are merged first.
    metric [b, p, e] unit vectors; `protected` [b, p] is taken off a source's similarity before ranking. At most half
    of the patches can go at once, so that more than that takes several rounds.
    """
    while count > 0:
        patches = metric.shape[1]
        merged = min(count, patches // 2)
        similar, nearest = (metric[:, 0::2] @ metric[:, 1::2].transpose(1, 2)).max(-1)  # [b, a]
        rank = similar if protected is None else similar - protected[:, 0::2]
        order = rank.argsort(dim=-1, descending=True, stable=True)
        sources, alone = order[:, :merged], order[:, merged:].sort(-1).values
        odd = torch.arange(1, patches, 2, device=x.device).expand(x.shape[0], -1)
        stay = torch.cat([2 * alone, odd], 1)
        targets = alone.shape[1] + nearest.gather(1, sources)
        x, sizes = merge(x, sizes, prefix, stay, 2 * sources, targets)
        metric = take(metric, stay)
        protected = None if protected is None else take(protected, stay)
        count -= merged
    return x, sizes
