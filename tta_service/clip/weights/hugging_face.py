"""CLIP and SigLIP as transformers stores them: their config.json in open_clip's terms (weights: `renaming.py`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from .. import wrap_errors

CONFIG = "config.json"
PIXELS = "preprocessor_config.json"  # with image_mean and image_std
WEIGHTS = "model.safetensors", "pytorch_model.bin"
TOKENIZER = "tokenizer_config.json", "tokenizer.json"  # one of these a tokenizer of Hugging Face has

_BASE = {"intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768}
_VISION = _BASE | {"image_size": 224}
_CLIP = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_SIGLIP = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
# What a configuration does not say, which is what a model of the usual size has.
DEFAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # by model_type, of the vision and of the text tower
    "clip": (
        _VISION | _CLIP | {"patch_size": 32},
        {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
        | _CLIP
        | {"vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 2},
    ),
    "siglip": (
        _VISION | _SIGLIP | {"patch_size": 16},
        _BASE | _SIGLIP | {"vocab_size": 32000, "max_position_embeddings": 64},
    ),
}
TOKENIZERS = {32000: "timm/ViT-B-16-SigLIP", 250000: "timm/ViT-B-16-SigLIP-i18n-256", 256000: "timm/ViT-B-16-SigLIP2"}
ENDS = 2, 49407  # an end token that is the largest one; 2 is what old configurations call it


def find_type(config: Path) -> str:
    """The model_type of a configuration of transformers; "" where there is none."""
    try:
        content: Any = json.loads(config.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return ""
    kind: object = content.get("model_type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else ""


def is_readable(config: Path) -> bool:
    """Whether it is the configuration of a CLIP or SigLIP of transformers."""
    return find_type(config) in DEFAULTS


def tell_other(folder: Path) -> str:
    """The end of a sentence: whose configuration lies there instead; "" where there is none."""
    config = folder / CONFIG
    if not config.is_file():
        return ""
    kind = find_type(config)
    return "; its config.json is of no CLIP or SigLIP of transformers" + (f": it says {kind[:50]}" if kind else "")


def describe(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """open_clip's configuration of a model whose config.json and tokenizer lie in `folder`. Raises `ValueError`."""
    kind = str(content["model_type"])
    if kind not in DEFAULTS:
        raise ValueError(f"its model_type is {kind}; of transformers' models {' and '.join(DEFAULTS)} are read")
    seen, read = (
        _read_tower(content, part, usual)
        for part, usual in zip(("vision_config", "text_config"), DEFAULTS[kind], strict=True)
    )
    text = {
        "context_length": read["max_position_embeddings"],
        "vocab_size": read["vocab_size"],
        "heads": read["num_attention_heads"],
        **_describe_tower(read),
        **_describe_tokenizer(kind, read["vocab_size"], folder),
    }
    described = _clip(content, seen, read, text) if kind == "clip" else _siglip(seen, read, text)
    pixels = folder / PIXELS
    found: dict[str, Any] = {}
    if pixels.is_file():
        with wrap_errors(f"{PIXELS} cannot be read", "model"):
            found = dict(json.loads(pixels.read_text(encoding="utf-8-sig")))
    usual = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if kind == "siglip" else {}
    look = {key: (usual | found).get(f"image_{key}") for key in ("mean", "std")}
    return {"model_cfg": described, "preprocess_cfg": {key: value for key, value in look.items() if value}}


def _read_tower(content: Mapping[str, Any], part: str, usual: Mapping[str, Any]) -> dict[str, Any]:
    """A tower's table, with what is usual where it says nothing. Raises `ValueError` for what no tower can have."""
    given = content.get(part)
    if not isinstance(given, dict | None):
        raise ValueError(f"its {part} is {given!r}, no table")
    tower = {**usual, **(given or {})}
    for key, value in usual.items():
        if isinstance(value, int | float) and key != "eos_token_id":
            _check_number(f"{part}.{key}", tower[key], type(value))
    if tower["hidden_size"] % tower["num_attention_heads"]:
        sizes = f"{tower['hidden_size']}, no multiple of its num_attention_heads {tower['num_attention_heads']}"
        raise ValueError(f"its {part}.hidden_size is {sizes}")
    return tower


def _check_number(name: str, value: Any, kind: type) -> Any:
    """Gives it back. Raises `ValueError` unless it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | kind) or not 0 < value < math.inf:
        raise ValueError(f"its {name} is {value!r}, no {'whole ' if kind is int else ''}number above 0")
    return value


def _clip(
    content: Mapping[str, Any], seen: Mapping[str, Any], read: Mapping[str, Any], text: dict[str, Any]
) -> dict[str, Any]:
    quick = {tower["hidden_act"] == "quick_gelu" for tower in (seen, read)}
    if len(quick) == 2:
        raise ValueError(f"its towers have the activations {seen['hidden_act']} and {read['hidden_act']}")
    if (end := read["eos_token_id"]) not in ENDS:
        if type(end) is not int or not 0 <= end < read["vocab_size"]:
            raise ValueError(f"its text_config.eos_token_id is {end!r}, no word of its {read['vocab_size']}")
        text |= {"pool_type": "eos", "eos_id": end}
    vision = {
        "image_size": seen["image_size"],
        "patch_size": seen["patch_size"],
        "head_width": seen["hidden_size"] // seen["num_attention_heads"],
        **_describe_tower(seen),
    }
    width = _check_number("projection_dim", content.get("projection_dim", 512), int)
    return {"embed_dim": width, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick.pop()}


def _siglip(seen: Mapping[str, Any], read: Mapping[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    vision = {"image_size": seen["image_size"], "timm_model_name": _register(seen)}
    vision |= {"timm_pool": "map", "timm_proj": "none"}
    text |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    width = _check_number("text_config.projection_size", read.get("projection_size") or read["hidden_size"], int)
    described = {"embed_dim": width, "init_logit_bias": -10}
    return {**described, "vision_cfg": vision, "text_cfg": text}


def _describe_tower(tower: Mapping[str, Any]) -> dict[str, Any]:
    """What both of open_clip's own towers call alike."""
    width, eps = tower["hidden_size"], tower["layer_norm_eps"]
    described = {"width": width, "layers": tower["num_hidden_layers"], "mlp_ratio": _ratio(tower)}
    return (
        described | _describe_activation(tower["hidden_act"]) | ({} if eps == 1e-5 else {"norm_kwargs": {"eps": eps}})
    )


def _ratio(tower: Mapping[str, Any]) -> float:
    """Of the widths of MLP and tower, so that their product, rounded down, is the width of the MLP."""
    width, hidden = tower["hidden_size"], tower["intermediate_size"]
    return hidden / width if int(hidden / width * width) == hidden else (hidden + 0.5) / width


def _describe_activation(name: str) -> dict[str, Any]:
    if name not in ("quick_gelu", "gelu", "gelu_pytorch_tanh"):
        raise ValueError(f"its activation is {name}; quick_gelu, gelu and gelu_pytorch_tanh are known")
    return {"act_kwargs": {"approximate": "tanh"}} if name == "gelu_pytorch_tanh" else {}


def _describe_tokenizer(kind: str, words: int, folder: Path) -> dict[str, Any]:
    """CLIP's own vocabulary needs no file; another is beside the configuration, or a published SigLIP's on the hub."""
    if kind == "clip" and words == DEFAULTS["clip"][1]["vocab_size"]:
        return {}
    if words not in TOKENIZERS and not any((folder / name).is_file() for name in TOKENIZER):
        raise ValueError(f"its vocabulary has {words} words, and there is no tokenizer.json beside it")
    clean = {"tokenizer_kwargs": {"clean": "canonicalize"}} if kind == "siglip" else {}
    return {"hf_tokenizer_name": TOKENIZERS.get(words, str(folder)), **clean}


def _register(tower: Mapping[str, Any]) -> str:
    """A name by which timm makes this tower: its own have the activation of a few sizes only."""
    sizes = [tower[key] for key in ("image_size", "patch_size", "hidden_size", "num_hidden_layers")]
    sizes += [tower[key] for key in ("num_attention_heads", "intermediate_size")]
    tanh = bool(_describe_activation(tower["hidden_act"]))

    def make(pretrained: bool = False, **options: Any) -> VisionTransformer:
        for unused in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
            options.pop(unused, None)
        size, patch, width, depth, heads, _ = sizes
        norm = partial(nn.LayerNorm, eps=tower["layer_norm_eps"])
        options |= {"act_layer": partial(nn.GELU, approximate="tanh") if tanh else nn.GELU, "norm_layer": norm}
        options |= {"num_heads": heads, "mlp_ratio": _ratio(tower), "class_token": False}
        return VisionTransformer(size, patch, embed_dim=width, depth=depth, **options)

    make.__name__ = "_".join(["vit_siglip", *map(str, sizes), "tanh" if tanh else "gelu"])
    register_model(make)
    return make.__name__
