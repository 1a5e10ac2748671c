"""Takes image towers apart: open_clip's own and timm's vision transformers."""

from __future__ import annotations

from typing import Any

from open_clip.timm_model import TimmModel
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from timm.layers import Attention, AttentionPoolLatent, Mlp
from timm.models import vision_transformer as timm_vit
from torch import Tensor, nn

from ..recompute import recompute
from .attention import merge_heads, split_heads, weighted_mean
from .linear import Layer, Make, plain
from .tower import Block, ImageTower


def take_apart(visual: nn.Module, make: Make = plain) -> ImageTower | str:
    """The parts of `model.visual`, or the reason why it can only be run whole.

    `make` builds the blocks' linear layers. Types are compared exactly, because a subclass may behave differently.
    """
    if type(visual) is VisionTransformer:
        return _open_clip(visual, make)
    if type(visual) is TimmModel and type(visual.trunk) is timm_vit.VisionTransformer:
        return _timm(visual, make)
    inner = getattr(visual, "trunk", visual)
    return f"{type(inner).__name__} is not a plain vision transformer"


def open_clip_block(block: Any, make: Make = plain) -> Block | None:
    """The parts of open_clip's standard residual block, image or text; None for any other."""
    attn = getattr(block, "attn", None)
    if (
        type(block) is not ResidualAttentionBlock
        or hasattr(block, "ln_1_kv")
        or not isinstance(attn, nn.MultiheadAttention)
    ):
        return None
    if not attn.batch_first or attn.in_proj_weight is None or attn.bias_k is not None or attn.add_zero_attn:
        return None

    feed: Any = block.mlp
    qkv, out = make(attn.in_proj_weight, attn.in_proj_bias), _make_layer(attn.out_proj, make)
    widen, narrow = _make_layer(feed.c_fc, make), _make_layer(feed.c_proj, make)

    def project(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, attn.num_heads) for part in qkv(block.ln_1(x)).chunk(3, dim=-1))
        return q, k, v

    def combine(a: Tensor) -> Tensor:
        return block.ls_1(out(merge_heads(a)))

    def mlp(x: Tensor) -> Tensor:
        return block.ls_2(narrow(recompute(feed.gelu, widen(block.ln_2(x)))))

    return Block(project, combine, mlp)


def _make_layer(layer: Any, make: Make) -> Layer:
    return make(layer.weight, layer.bias)


def _open_clip(visual: Any, make: Make) -> ImageTower | str:
    blocks = [open_clip_block(block, make) for block in visual.transformer.resblocks]
    if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        return "it pools by attention over the whole patch grid"
    if any(block is None for block in blocks):
        return "its blocks are not the standard ones"
    only = visual.pool_type == "tok"

    def pool(x: Tensor, sizes: Tensor | None) -> Tensor:
        if only:
            x = visual.ln_post(x[:, 0])
        elif visual.final_ln_after_pool:
            x = visual.ln_post(weighted_mean(x[:, 1:], None if sizes is None else sizes[:, 1:]))
        else:
            x = weighted_mean(visual.ln_post(x[:, 1:]), None if sizes is None else sizes[:, 1:])
        return x if visual.proj is None else x @ visual.proj

    def guide_to_tokens(texts: Tensor) -> Tensor:
        return (texts if visual.proj is None else texts @ visual.proj.T) * visual.ln_post.weight

    return ImageTower(visual._embeds, tuple(b for b in blocks if b), pool, 1, only, guide_to_tokens)


def _timm(visual: Any, make: Make) -> ImageTower | str:
    trunk = visual.trunk
    blocks = [_timm_block(block, make) for block in trunk.blocks]
    if any(block is None for block in blocks):
        return "its blocks are not the standard ones"
    if trunk.global_pool not in ("token", "avg", "map"):
        return f"it pools by {trunk.global_pool or 'nothing'!r}"
    if trunk.global_pool == "map" and type(trunk.attn_pool) is not AttentionPoolLatent:
        return "it pools by an attention that takes no weights"
    skip = 0 if trunk.pool_include_prefix else trunk.num_prefix_tokens

    def embed(pixels: Tensor) -> Tensor:
        return trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(pixels))))

    def pool(x: Tensor, sizes: Tensor | None) -> Tensor:
        if trunk.global_pool == "token":
            x = trunk.norm(x[:, 0])
        else:
            x, sizes = trunk.norm(x)[:, skip:], None if sizes is None else sizes[:, skip:]
            x = _latent(trunk.attn_pool, x, sizes) if trunk.global_pool == "map" else weighted_mean(x, sizes)
        return visual.head(trunk.head(trunk.head_drop(trunk.fc_norm(x))))

    norm, linear = [m for m in (trunk.norm, trunk.fc_norm) if isinstance(m, nn.LayerNorm)], [*visual.head, trunk.head]
    linear = [m for m in linear if not isinstance(m, (nn.Identity, nn.Dropout))]
    plain = trunk.attn_pool is None and len(norm) == 1 and all(isinstance(m, nn.Linear) for m in linear)

    def guide_to_tokens(texts: Tensor) -> Tensor:
        for layer in linear:  # from last to first
            texts = texts @ layer.weight
        return texts * norm[0].weight

    parts, only = tuple(b for b in blocks if b), trunk.global_pool == "token"
    return ImageTower(embed, parts, pool, trunk.num_prefix_tokens, only, guide_to_tokens if plain else None)


def _timm_block(block: Any, make: Make) -> Block | None:
    if type(block) is not timm_vit.Block or type(block.attn) is not Attention or block.attn.gate is not None:
        return None
    attn = block.attn
    qkv, out, feed = _make_layer(attn.qkv, make), _make_layer(attn.proj, make), _timm_mlp(block.mlp, make)

    def project(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, attn.num_heads) for part in qkv(block.norm1(x)).chunk(3, dim=-1))
        return attn.q_norm(q), attn.k_norm(k), v

    def combine(a: Tensor) -> Tensor:
        return block.ls1(out(attn.norm(merge_heads(a))))

    return Block(project, combine, lambda x: block.ls2(feed(block.norm2(x))))


def _timm_mlp(mlp: Any, make: Make) -> Layer:
    """The MLP with layers by `make`; an MLP that is not the standard one is used as it is."""
    if type(mlp) is not Mlp or not isinstance(mlp.fc1, nn.Linear):
        return mlp
    widen, narrow = _make_layer(mlp.fc1, make), _make_layer(mlp.fc2, make)
    return lambda x: narrow(mlp.norm(mlp.act(widen(x))))


def _latent(pool: Any, x: Tensor, sizes: Tensor | None) -> Tensor:
    """SigLIP's pool: a learned query attends over all tokens x [b, n, w], each counted `sizes` [b, n] times."""
    return pool(x) if sizes is None else pool(x, attn_mask=sizes.log().to(x.dtype)[:, None, None])
