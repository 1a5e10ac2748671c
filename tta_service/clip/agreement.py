"""Compares two model configurations of open_clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from open_clip.model import CLIPTextCfg, CLIPVisionCfg

TOWERS: dict[str, type[Any]] = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}
IGNORED = {  # the origin of parts, and options of training
    "custom_text",
    "hf_model_pretrained",
    "hf_tokenizer_name",
    "output_tokens",
    "patch_dropout",
    "timm_model_pretrained",
    "tokenizer_kwargs",
}


def find_disagreement(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first difference of two `model_cfg`s, in words; "" when there is none. Missing keys have their defaults."""
    left, right = dict(_flatten(ours)), dict(_flatten(theirs))
    for key in (*left, *right):
        one, other = left.get(key), right.get(key)
        if one != other:
            return f"{key} is {one!r} there, not {other!r}"
    return ""


def _flatten(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "quick_gelu", bool(config.get("quick_gelu"))
    for key, value in config.items():
        if key in TOWERS:
            known = {field.name for field in fields(TOWERS[key])}
            whole = {**asdict(TOWERS[key]()), **value} if value.keys() <= known else value
            yield from (
                (f"{key}.{name}", _to_list(part)) for name, part in sorted(whole.items()) if name not in IGNORED
            )
        elif key not in IGNORED | {"quick_gelu"}:
            yield key, value


def _to_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
