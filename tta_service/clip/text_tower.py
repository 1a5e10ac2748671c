"""Our forward pass over open_clip's causal text tower, from token embeddings, hence differentiable in the prompt.

Exact shortcuts: under a causal mask nothing behind the end token reaches it, so rows stop there; what all prompts share
at their start is computed once; the last block computes the end tokens only. No row is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from .image_tower import Block
from .packing import Packing, common_start, own_places, pack
from .trunks import open_clip_block


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
    """The parts of the model's text tower; None where our shortcuts would not be exact."""
    text: Any
    eos_id: Any
    if type(model) is CLIP:
        text, pool_type, eos_id = model, model.text_pool_type, model.text_eos_id
    elif type(model) is CustomTextCLIP and type(model.text) is TextTransformer and model.text.cls_emb is None:
        text, pool_type, eos_id = model.text, model.text.pool_type, model.text.eos_id
    else:
        return None
    blocks = [open_clip_block(block) for block in text.transformer.resblocks]
    if text.attn_mask is None or pool_type not in ("argmax", "eos") or any(block is None for block in blocks):
        return None
    end = eos_id if pool_type == "eos" else None
    finish = _finish(text.ln_final, text.text_projection)
    return TextTower(text.token_embedding, text.positional_embedding, tuple(b for b in blocks if b), finish, end)


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
        [_encode_some(tower, tokens[i : i + step], lengths[i : i + step]) for i in range(0, len(tokens), step)]
    )


def _encode_some(tower: TextTower, tokens: Tensor, lengths: Tensor) -> Tensor:
    packing = pack(lengths, common_start(tokens, lengths))
    rows, columns = own_places(lengths, packing)
    ids = torch.cat([tokens[0, : packing.shared], tokens[rows, columns]])
    return encode_packed(tower, tower.embedding(ids.to(tower.embedding.weight.device)), packing)


def encode_packed(tower: TextTower, embedded: Tensor, packing: Packing) -> Tensor:
    """Token embeddings [t, w] laid out by the packing to unit features [m, d] in the order of the prompts."""
    x = embedded + tower.positions[packing.places.to(embedded.device)]
    for block in tower.blocks[:-1]:
        q, k, v = (part[0].transpose(0, 1) for part in block.project(x[None]))  # [t, h, e]
        x = x + block.attended(_attend(q, k, v, packing)[None])[0]
        x = x + block.mlp(x)
    block, ends = tower.blocks[-1], packing.ends.to(x.device)
    q, k, v = (part[0].transpose(0, 1) for part in block.project(x[None]))
    x = x[ends] + block.attended(_attend_ends(q[ends], k, v, packing)[None])[0]
    return packing.restore(F.normalize(tower.finish(x + block.mlp(x)), dim=-1))


def _attend(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """Causal attention within each prompt: q, k, v [t, h, e] -> [h, t, e]."""
    s = packing.shared
    start, keys, values = (x[:s].transpose(0, 1) for x in (q, k, v))  # [h, s, e]
    out = [F.scaled_dot_product_attention(start, keys, values, is_causal=True)]
    for first, rows, n in packing.groups:
        mask = torch.ones(n, s + n, dtype=torch.bool, device=q.device).tril(s)
        own = q[first : first + rows * n].unflatten(0, (rows, n)).transpose(1, 2)  # [rows, h, n, e]
        keys, values = (_with_shared(x, s, first, rows, n) for x in (k, v))
        out.append(F.scaled_dot_product_attention(own, keys, values, mask).transpose(0, 1).flatten(1, 2))
    return torch.cat(out, dim=1)


def _attend_ends(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """The same for the end tokens alone, which see all of their prompt: q [m, h, e] -> [h, m, e]."""
    out, row = [], 0
    for first, rows, n in packing.groups:
        keys, values = (_with_shared(x, packing.shared, first, rows, n) for x in (k, v))
        own = q[row : row + rows, :, None]  # [rows, h, 1, e]
        out.append(F.scaled_dot_product_attention(own, keys, values)[:, :, 0].transpose(0, 1))
        row += rows
    return torch.cat(out, dim=1)


def _with_shared(x: Tensor, shared: int, first: int, rows: int, n: int) -> Tensor:
    """Keys or values of one group behind the shared ones: [rows, h, shared + n, e]."""
    own = x[first : first + rows * n].unflatten(0, (rows, n))
    return torch.cat([x[:shared].expand(rows, -1, -1, -1), own], dim=1).transpose(1, 2)
