"""Loads a frozen model: the bundled pocket model, any model that open_clip knows, or a file of weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from ..core.reducer import Reducer
from . import CannotLoad, pocket
from .encoder_config import make_encoder_config
from .model import FrozenCLIP
from .weights.checkpoint import (
    CONFIG,
    LoadedModel,
    find_disagreement,
    from_folder,
    load_tokenizer,
    read_model_config,
    require_weights,
    wrap_errors,
)
from .weights.hub import find_cached, find_cached_weights, require_hub

POCKET, LOCAL, HUB = "pocket", "local-dir:", "hf-hub:"
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth"}


def load(
    name: str = POCKET,
    pretrained: str = "",
    checkpoint: str = "",
    device: str = "auto",
    precision: str = "float32",
    runtime: str = "eager",
    compress: str = "",
    reducers: Sequence[Reducer] = (),
) -> FrozenCLIP:
    """The frozen model. Raises `CannotLoad` within seconds; its message says what to do instead.

    `name` is "pocket" (bundled) or any name that open_clip knows, with `pretrained` one of its tags, or "hf-hub:…", or
    "local-dir:FOLDER" with weights and their open_clip_config.json. `checkpoint` is a file of weights; its architecture
    is the open_clip_config.json beside it, with which another `name` than "pocket" must agree, else that of `name`.
    `device` "auto" is CUDA if available. `precision`, `runtime`, `compress` ("svd:RANK", "prune:RATIO") and `reducers`
    (those that a runtime other than eager serves) configure the image tower, see `EncoderConfig`.
    """
    target = _find_device(device)
    config = make_encoder_config(precision, runtime, compress, reducers, target)
    if checkpoint:
        parts, label = _from_file(Path(checkpoint), name), Path(checkpoint).stem
    elif name.startswith(LOCAL):
        folder = _folder(name)
        parts, label = from_folder(folder / CONFIG, _find_weights(folder)), folder.resolve().name
    elif name == POCKET:
        with as_file(files(pocket)) as folder:
            parts, label = from_folder(folder / CONFIG, folder / "pocket.safetensors"), name
    else:
        parts, label = _from_hub(name, pretrained), f"{name}/{pretrained}" if pretrained else name
    model, tokenizer, vocabulary = parts
    return FrozenCLIP(model, tokenizer, name=label, config=config, device=target, vocabulary=vocabulary)


def _from_file(weights: Path, name: str) -> LoadedModel:
    if weights.is_dir():
        advice = f"{weights} is a folder: name the file in it, or its model with --model {LOCAL}{weights}"
        raise CannotLoad(advice, "checkpoint")
    if not weights.is_file():
        raise CannotLoad(f"there is no file {weights}", "checkpoint")
    require_weights(weights)
    config = weights.with_name(CONFIG)
    if config.is_file():
        ours = read_model_config(config)["model_cfg"]
        if name != POCKET and (why := find_disagreement(ours, _find_architecture(name))):
            advice = f"{name} is not what {config} beside {weights.name} describes: {why}; leave the name out"
            raise CannotLoad(advice, "model")
        return from_folder(config, weights)
    if name.startswith(LOCAL):
        return from_folder(_folder(name) / CONFIG, weights)
    if name == POCKET:
        advice = f"put the {CONFIG} that describes {weights.name} beside it, or name its architecture with --model"
        raise CannotLoad(advice, "checkpoint")
    _check_name(name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    preprocess = open_clip.get_pretrained_cfg(name, tags[0]) if tags else None  # mean and deviation of its pixels
    with wrap_errors(f"{weights.name} does not fit {name}", "checkpoint"):
        model = open_clip.create_model(name, pretrained=str(weights), force_preprocess_cfg=preprocess)
    return LoadedModel(model, load_tokenizer(name))


def _folder(name: str) -> Path:
    folder = Path(name.removeprefix(LOCAL)).expanduser()
    if not (folder / CONFIG).is_file():
        raise CannotLoad(f"{name}: there is no {folder / CONFIG}", "model")
    return folder


def _find_weights(folder: Path) -> Path:
    """The weights file with the usual name, or the only one."""
    usual = [folder / name for name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME) if (folder / name).is_file()]
    found = usual or sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS)
    if not usual and len(found) != 1:
        names = f"{len(found)} files of weights ({', '.join(file.name for file in found)})" if found else "no weights"
        raise CannotLoad(f"{folder} holds {names}; give one with --checkpoint", "model")
    return found[0]


def _find_architecture(name: str) -> Mapping[str, Any]:
    """The `model_cfg` of a model name."""
    if name.startswith(LOCAL):
        return read_model_config(_folder(name) / CONFIG)["model_cfg"]
    if name.startswith(HUB):
        config = find_cached(name.removeprefix(HUB), (CONFIG,))
        if config is not None:
            return read_model_config(config)["model_cfg"]
        require_hub(name)
    else:
        _check_name(name)
    with wrap_errors(f"cannot load {name}", "model"):
        config_of_name: Mapping[str, Any] = open_clip.get_model_config(name) or {}
        return config_of_name


def _from_hub(name: str, pretrained: str) -> LoadedModel:
    if name.startswith(HUB):
        return _from_repository(name)
    _check_name(name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        near = difflib.get_close_matches(pretrained, tags, 5, 0.4) or tags
        wrong = f"has no weights called {pretrained!r}" if pretrained else "is an architecture; its weights are missing"
        raise CannotLoad(f"{name} {wrong}: --pretrained may be {', '.join(near) or 'nothing known'}", "pretrained")
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    weights = find_cached_weights(tag)
    if weights is None:
        require_hub(f"{name}/{pretrained}")
    with wrap_errors(f"cannot load {name}/{pretrained}", "model"):
        model = open_clip.create_model(
            name,
            pretrained=str(weights or pretrained),
            force_quick_gelu=tag.get("quick_gelu", False),  # what these weights were trained with
            force_preprocess_cfg=tag,
        )
    return LoadedModel(model, load_tokenizer(name))


def _from_repository(name: str) -> LoadedModel:
    repository = name.removeprefix(HUB)
    config, weights = (
        find_cached(repository, (CONFIG,)),
        find_cached(repository, (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)),
    )
    if config is not None and weights is not None:
        return from_folder(config, weights, name)
    require_hub(name)
    with wrap_errors(f"cannot load {name}", "model"):
        model = open_clip.create_model(name, require_pretrained=True)
    return LoadedModel(model, load_tokenizer(name))


def _check_name(name: str) -> None:
    known = open_clip.list_models()
    if name not in known:
        lower = {model.lower(): model for model in known}
        near = [lower[model] for model in difflib.get_close_matches(name.lower(), lower, 5, 0.4)]
        also = f"; near to it: {', '.join(near)}" if near else "; open_clip.list_models() lists them"
        raise CannotLoad(f"open_clip knows no model {name!r}{also}", "model")


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CannotLoad(f"device {name!r} cannot be used: {error}", "device") from error
    return device
