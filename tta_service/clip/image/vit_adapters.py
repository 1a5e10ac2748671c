"""Takes image towers apart: open_clip's own and timm's vision transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from open_clip.timm_model import TimmModel
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from timm.layers import Attention, AttentionPoolLatent, Mlp
from timm.models import vision_transformer as timm_vit
from torch import Tensor, nn

from .linear import Make, plain
from .tower import Block, ImageTower, recompute, weighted_mean


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


def open_clip_blocks(blocks: Iterable[Any], make: Make = plain) -> tuple[Block, ...] | None:
    """The parts of open_clip's residual blocks, image or text; None when one of them is not the standard one."""
    return tuple(_open_clip_block(block, make) for block in blocks) if all(map(_is_open_clip_block, blocks)) else None


def _is_open_clip_block(block: Any) -> bool:
    attn = getattr(block, "attn", None)
    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv"):
        return False
    if not isinstance(attn, nn.MultiheadAttention) or attn.in_proj_weight is None:
        return False
    return attn.batch_first and attn.bias_k is None and not attn.add_zero_attn


def _open_clip_block(block: Any, make: Make) -> Block:
    attn, feed = block.attn, block.mlp
    qkv, out = make(attn.in_proj_weight, attn.in_proj_bias), make(attn.out_proj.weight, attn.out_proj.bias)
    widen, narrow = make(feed.c_fc.weight, feed.c_fc.bias), make(feed.c_proj.weight, feed.c_proj.bias)

    def project(x: Tensor) -> tuple[Tensor, ...]:
        return qkv(block.ln_1(x)).view(*x.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)

    def combine(a: Tensor) -> Tensor:
        return block.ls_1(out(a.transpose(1, 2).flatten(2)))

    def mlp(x: Tensor) -> Tensor:
        return block.ls_2(narrow(recompute(feed.gelu, widen(block.ln_2(x)))))

    return Block(project, combine, mlp)


def _open_clip(visual: Any, make: Make) -> ImageTower | str:
    if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        return "it pools by attention over the whole patch grid"
    blocks = open_clip_blocks(visual.transformer.resblocks, make)
    if blocks is None:
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

    return ImageTower(visual._embeds, blocks, pool, 1, only, guide_to_tokens)


def _timm(visual: Any, make: Make) -> ImageTower | str:
    trunk = visual.trunk
    if not all(map(_is_timm_block, trunk.blocks)):
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

    blocks, only = tuple(_timm_block(block, make) for block in trunk.blocks), trunk.global_pool == "token"
    return ImageTower(embed, blocks, pool, trunk.num_prefix_tokens, only, _timm_guide(visual))


def _timm_guide(visual: Any) -> Callable[[Tensor], Tensor] | None:
    """`ImageTower.guide_to_tokens`; None when the features are no projection of single tokens."""
    trunk = visual.trunk
    norms = [module for module in (trunk.norm, trunk.fc_norm) if isinstance(module, nn.LayerNorm)]
    heads = [module for module in (*visual.head, trunk.head) if not isinstance(module, (nn.Identity, nn.Dropout))]
    if trunk.attn_pool is not None or len(norms) != 1 or not all(isinstance(head, nn.Linear) for head in heads):
        return None

    def guide_to_tokens(texts: Tensor) -> Tensor:
        for head in heads:  # from last to first
            texts = texts @ head.weight
        return texts * norms[0].weight

    return guide_to_tokens


def _is_timm_block(block: Any) -> bool:
    return type(block) is timm_vit.Block and type(block.attn) is Attention and block.attn.gate is None


def _timm_block(block: Any, make: Make) -> Block:
    attn, feed = block.attn, block.mlp
    qkv, out = make(attn.qkv.weight, attn.qkv.bias), make(attn.proj.weight, attn.proj.bias)

    def project(x: Tensor) -> tuple[Tensor, ...]:
        q, k, v = qkv(block.norm1(x)).view(*x.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return attn.q_norm(q), attn.k_norm(k), v

    def combine(a: Tensor) -> Tensor:
        return block.ls1(out(attn.norm(a.transpose(1, 2).flatten(2))))

    if type(feed) is not Mlp or not isinstance(feed.fc1, nn.Linear):  # not the standard one: it is used as it is
        return Block(project, combine, lambda x: block.ls2(feed(block.norm2(x))))
    widen, narrow = make(feed.fc1.weight, feed.fc1.bias), make(feed.fc2.weight, feed.fc2.bias)

    def mlp(x: Tensor) -> Tensor:
        return block.ls2(narrow(feed.norm(feed.act(widen(block.norm2(x))))))

    return Block(project, combine, mlp)


def _latent(pool: Any, x: Tensor, sizes: Tensor | None) -> Tensor:
    """SigLIP's pool: a learned query attends over all tokens x [b, n, w], each counted `sizes` [b, n] times."""
    return pool(x) if sizes is None else pool(x, attn_mask=sizes.log().to(x.dtype)[:, None, None])
