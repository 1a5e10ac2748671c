"""The configuration that describes a model beside its weights: found, read, compared with another."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from .. import wrap_errors
from . import hugging_face

CONFIG = "open_clip_config.json"
TOML = "model.toml"  # the same, for people to write
NEEDED = {"embed_dim", "vision_cfg", "text_cfg"}
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


def find_config(folder: Path) -> Path | None:
    """The configuration in a folder of weights; transformers' where there is no other."""
    found = [folder / name for name in (CONFIG, TOML) if (folder / name).is_file()]
    theirs = folder / hugging_face.CONFIG
    return found[0] if found else theirs if hugging_face.is_readable(theirs) else None


def read_model_config(config: Path) -> dict[str, Any]:
    """The `model_cfg` and, if there is one, the `preprocess_cfg` of a configuration. Raises `CannotLoad`.

    It is an open_clip_config.json, the same as TOML, one of open_clip's own model files: a bare `model_cfg`, or the
    config.json of transformers.
    """
    with wrap_errors(f"{config} describes no model", "config"):
        text = config.read_text(encoding="utf-8-sig")
        content: Any = tomllib.loads(text) if config.suffix == ".toml" else json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is not a table of names and values")
        if "model_type" in content:
            content = hugging_face.describe(content, config.parent)
        if "model_cfg" not in content:
            bare = {key: value for key, value in content.items() if key != "preprocess_cfg"}
            content = {"model_cfg": bare, **{key: content[key] for key in content.keys() - bare.keys()}}
        for name, needed in (("model_cfg", NEEDED), ("preprocess_cfg", set[str]())):
            table: Any = content.get(name, {})
            if not isinstance(table, dict) or not needed <= table.keys():
                raise ValueError(
                    f"its {name} {'needs embed_dim, vision_cfg and text_cfg' if needed else 'is no table'}"
                )
        _check_look(content.get("preprocess_cfg", {}))
        return content


def _check_look(given: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a mean or a deviation that pictures cannot have, which only the first one would show."""
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        values: Any = given.get(name, [1.0] * 3)
        whole = isinstance(values, list | tuple) and len(values) == 3
        if not whole or not all(isinstance(one, int | float) and least < one < math.inf for one in values):
            raise ValueError(
                f"{name} of its preprocess_cfg is no list of three numbers{' above 0' if not least else ''}"
            )


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
            for name, part in sorted(whole.items()):
                if name not in IGNORED:
                    yield f"{key}.{name}", list(part) if isinstance(part, tuple) else part
        elif key not in IGNORED | {"quick_gelu"}:
            yield key, value
