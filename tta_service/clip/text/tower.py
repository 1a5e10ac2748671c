"""Our forward pass over open_clip's causal text tower. It takes token embeddings, so prompts are differentiable.

Its shortcuts are exact. Under a causal mask tokens after the end token do not reach it, so rows stop there. The common
start of all prompts is computed once. The last block computes the end tokens only. Rows are not padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ..image.tower import Block, recompute
from ..image.vit_adapters import open_clip_blocks
from .packing import Packing, count_common_start, find_own_places, pack


@dataclass(frozen=True, eq=False)
class TextTower:
    """A causal text transformer taken apart."""

    embedding: nn.Embedding
    positions: Tensor  # [n, w]
    blocks: tuple[Block, ...]
    finish: Callable[[Tensor], Tensor]  # end tokens [m, w] -> features [m, d], not normalised
    eos_id: int | None  # None: the end token is the one with the largest id

    def lengths(self, tokens: Tensor) -> Tensor:
        """Tokens up to and including the end, [m], of rows [m, n]."""
        ends = tokens if self.eos_id is None else (tokens == self.eos_id).int()
        return ends.argmax(-1) + 1


def take_text_apart(model: nn.Module) -> TextTower | None:
    """The parts of the model's text tower; None where the shortcuts would not be exact."""
    text: Any
    eos_id: Any
    if type(model) is CLIP:
        text, pool_type, eos_id = model, model.text_pool_type, model.text_eos_id
    elif type(model) is CustomTextCLIP and type(model.text) is TextTransformer and model.text.cls_emb is None:
        text, pool_type, eos_id = model.text, model.text.pool_type, model.text.eos_id
    else:
        return None
    blocks = open_clip_blocks(text.transformer.resblocks)
    if text.attn_mask is None or pool_type not in ("argmax", "eos") or blocks is None:
        return None
    end = eos_id if pool_type == "eos" else None
    finish = _finish(text.ln_final, text.text_projection)
    return TextTower(text.token_embedding, text.positional_embedding, blocks, finish, end)


def _finish(norm: nn.Module, projection: Any) -> Callable[[Tensor], Tensor]:
    def finish(x: Tensor) -> Tensor:
        x = norm(x)
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection

    return finish


def encode_tokens(tower: TextTower, tokens: Tensor, most: int = 4096) -> Tensor:
    """Tokens [m, n] on the CPU to unit features [m, d], at most about `most` tokens at a time."""
    lengths = tower.lengths(tokens)
    step = max(1, most // int(lengths.max()))
    return torch.cat(
        [_encode_part(tower, tokens[i : i + step], lengths[i : i + step]) for i in range(0, len(tokens), step)]
    )


def _encode_part(tower: TextTower, tokens: Tensor, lengths: Tensor) -> Tensor:
    packing = pack(lengths, count_common_start(tokens, lengths))
    rows, columns = find_own_places(lengths, packing)
    ids = torch.cat([tokens[0, : packing.shared], tokens[rows, columns]])
    return encode_packed(tower, tower.embedding(ids.to(tower.embedding.weight.device)), packing)


def encode_packed(tower: TextTower, embedded: Tensor, packing: Packing) -> Tensor:
    """Token embeddings [t, w] laid out by the packing to unit features [m, d] in the order of the prompts."""
    x = embedded + tower.positions[packing.places.to(embedded.device)]
    for block in tower.blocks[:-1]:
        q, k, v = (part[0].transpose(0, 1) for part in block.project(x[None]))  # [t, h, e]
        x = x + block.combine(recompute(partial(_attend, packing), q, k, v)[None])[0]
        x = x + block.mlp(x)
    block, ends = tower.blocks[-1], packing.ends.to(x.device)
    q, k, v = (part[0].transpose(0, 1) for part in block.project(x[None]))
    x = x.index_select(0, ends) + block.combine(_attend_ends(packing, q.index_select(0, ends), k, v)[None])[0]
    return packing.restore(F.normalize(tower.finish(x + block.mlp(x)), dim=-1))


def _attend(packing: Packing, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention within each prompt: q, k, v [t, h, e] -> [h, t, e]."""
    (q_start, *q_own), (k_start, *k_own), (v_start, *v_own) = (packing.split(x) for x in (q, k, v))
    start, keys, values = (x.transpose(0, 1) for x in (q_start, k_start, v_start))  # [h, s, e]
    out = [F.scaled_dot_product_attention(start, keys, values, is_causal=True)]
    for (_, rows, n), qs, ks, vs in zip(packing.groups, q_own, k_own, v_own, strict=True):
        mask = torch.ones(n, packing.shared + n, dtype=torch.bool, device=q.device).tril(packing.shared)
        own = qs.unflatten(0, (rows, n)).transpose(1, 2)  # [rows, h, n, e]
        keys, values = _append(k_start, ks, rows), _append(v_start, vs, rows)
        out.append(F.scaled_dot_product_attention(own, keys, values, mask).transpose(0, 1).flatten(1, 2))
    return torch.cat(out, dim=1)


def _attend_ends(packing: Packing, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of the end tokens only, over all of their prompt: q [m, h, e] -> [h, m, e]."""
    (k_start, *k_own), (v_start, *v_own) = packing.split(k), packing.split(v)
    q_own = q.split([rows for _, rows, _ in packing.groups])
    out: list[Tensor] = []
    for qs, ks, vs in zip(q_own, k_own, v_own, strict=True):
        keys, values = _append(k_start, ks, len(qs)), _append(v_start, vs, len(qs))
        out.append(F.scaled_dot_product_attention(qs[:, :, None], keys, values)[:, :, 0].transpose(0, 1))
    return torch.cat(out, dim=1)


def _append(start: Tensor, own: Tensor, rows: int) -> Tensor:
    """Keys or values [rows n, h, e] of one group appended to the shared ones [s, h, e]: [rows, h, s + n, e]."""
    return torch.cat([start.expand(rows, -1, -1, -1), own.unflatten(0, (rows, -1))], dim=1).transpose(1, 2)
