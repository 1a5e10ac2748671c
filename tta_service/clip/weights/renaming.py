"""Weights of a CLIP or SigLIP of transformers under open_clip's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_OPEN_CLIP = (  # renamed in this order
    ("final_layer_norm.", "ln_final."),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm", "ln_"),
    ("self_attn.out_proj.", "attn.out_proj."),
    ("self_attn.qkv.", "attn.in_proj_"),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("pre_layrnorm.", "ln_pre."),
    ("post_layernorm.", "ln_post."),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.patch_embedding.", "conv1."),
    ("embeddings.", ""),
)
_TIMM = (
    ("encoder.layers.", "blocks."),
    ("layer_norm", "norm"),
    ("self_attn.out_proj.", "attn.proj."),
    ("self_attn.qkv.", "attn.qkv."),
    ("post_layernorm.", "norm."),
    ("embeddings.position_embedding.weight", "pos_embed"),
    ("embeddings.patch_embedding.", "patch_embed.proj."),
    ("head.probe", "attn_pool.latent"),
    ("head.layernorm.", "attn_pool.norm."),
    ("head.attention.out_proj.", "attn_pool.proj."),
    ("head.attention.", "attn_pool."),
    ("head.", "attn_pool."),
)


_QKV = re.compile(r"\.self_attn\.[qkv]_proj\.")
PARTS = {  # what is renamed by its whole name, by whether it is a SigLIP
    False: ("visual_projection.weight", "text_projection.weight"),
    True: (
        *(f"vision_model.head.{name}" for name in ("probe", "attention.in_proj_weight", "attention.in_proj_bias")),
        "vision_model.embeddings.position_embedding.weight",
        *("text_model.head.weight", "text_model.head.bias", "logit_scale", "logit_bias"),
    ),
}


def is_foreign(state: Mapping[str, Tensor]) -> bool:
    """Whether weights have transformers' names."""
    return any(key.startswith("vision_model.") for key in state)


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under open_clip's names: those of `CLIP`, or of `CustomTextCLIP` with timm's tower for a SigLIP.

    Raises `ValueError` for weights without one that becomes another; the model misses others.
    """
    siglip = any(key.startswith("vision_model.head.") for key in state)
    _require(state, PARTS[siglip])
    prefixes = {"vision_model.": "visual.trunk.", "text_model.": "text."} if siglip else {}
    prefixes = {"vision_model.": "visual.", "text_model.": ""} | prefixes
    converted: dict[str, Tensor] = {}
    for key, value in _join(state).items():
        for prefix, ours in prefixes.items():
            if key.startswith(prefix):
                rest = key.removeprefix(prefix)
                for theirs, name in _TIMM if siglip and prefix == "vision_model." else _OPEN_CLIP:
                    rest = rest.replace(theirs, name)
                key = ours + rest
        converted[key] = value
    return _siglip_parts(converted) if siglip else _clip_parts(converted)


def _require(state: Mapping[str, Tensor], names: Iterable[str]) -> None:
    if missing := [name for name in names if name not in state]:
        raise ValueError(f"it has no {' and no '.join(missing)}")


def _join(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values as one matrix, and no list of positions, which is no weight."""
    joined = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    for key in {_QKV.sub(".self_attn.qkv.", key) for key in joined if _QKV.search(key)}:
        parts = [key.replace(".qkv.", f".{part}_proj.") for part in "qkv"]
        _require(joined, parts)
        joined[key] = torch.cat([joined.pop(part) for part in parts])
    return joined


def _clip_parts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for theirs, ours in (("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")):
        state[ours] = state.pop(theirs).T
    return state


def _siglip_parts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    pool = "visual.trunk.attn_pool"
    for part in ("weight", "bias"):
        query, rest = state.pop(f"{pool}.in_proj_{part}").tensor_split([state[f"{pool}.latent"].shape[-1]])
        state |= {f"{pool}.q.{part}": query, f"{pool}.kv.{part}": rest}
        state[f"text.text_projection.{part}"] = state.pop(f"text.head.{part}")
    state["visual.trunk.pos_embed"] = state["visual.trunk.pos_embed"][None]
    return state | {key: state[key].reshape(()) for key in ("logit_scale", "logit_bias")}
