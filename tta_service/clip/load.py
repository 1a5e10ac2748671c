"""Loads a frozen model: the bundled pocket model, any model that open_clip knows, or a file of weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import open_clip
import torch

from ..core.reducer import Reducer
from . import CannotLoad, pocket, wrap_errors
from .encoder_config import make_encoder_config
from .model import FrozenCLIP
from .plugin import run_plugin
from .weights import hugging_face
from .weights.checkpoint import OURS, LoadedModel, find_weights, from_files, load_tokenizer, require_weights
from .weights.config import CONFIG, TOML, find_config, find_disagreement, read_model_config
from .weights.hub import find_cached, find_cached_weights, require_hub

POCKET, LOCAL, HUB = "pocket", "local-dir:", "hf-hub:"


def load(
    name: str = POCKET,
    pretrained: str = "",
    checkpoint: str = "",
    device: str = "auto",
    precision: str = "float32",
    runtime: str = "eager",
    compress: str = "",
    reducers: Sequence[Reducer] = (),
    config: str = "",
    plugin: str = "",
    served_name: str = "",
    **form: bool,
) -> FrozenCLIP:
    """The frozen model. Raises `CannotLoad` within seconds; its message says what to do instead.

    `name` is "pocket" (bundled) or any name that open_clip knows, with `pretrained` one of its tags, or "hf-hub:…", or
    "local-dir:FOLDER" with weights and their configuration. `checkpoint` is a file of weights, by default that beside
    `config`; its architecture is `config` or the configuration beside it, with which another `name` than "pocket" must
    agree, else that of `name`. `plugin` is called first (`run_plugin`). The model is called `served_name`, else after
    its file, folder or `name`. `device` "auto" is CUDA if available. `precision`, `runtime`, `compress` ("svd:RANK",
    "prune:RATIO"), `reducers` and `form` (`agrees`, `exportable`) configure the image tower, see `EncoderConfig`.
    """
    target = find_device(device)
    encoder = make_encoder_config(precision, runtime, compress, reducers, target, **form)
    parts, label = load_parts(name, pretrained, checkpoint, config, plugin)
    options: Any = {"config": encoder, "device": target, "vocabulary": parts.vocabulary}
    return FrozenCLIP(parts.model, parts.tokenizer, name=served_name or label, **options)


def load_parts(name: str, pretrained: str, checkpoint: str, config: str, plugin: str) -> tuple[LoadedModel, str]:
    """The model as it comes, and what it is called. Arguments and errors are those of `load`."""
    if plugin and (made := run_plugin(plugin, checkpoint)):
        return made, plugin.partition(":")[0]
    if checkpoint:
        return _from_file(Path(checkpoint), name, config), Path(checkpoint).stem
    if config:
        folder = _require_file(config).resolve().parent
        return _from_file(find_weights(folder), name, config), folder.name
    if name.startswith(LOCAL):
        described = _describe_folder(name)
        return from_files(described, find_weights(described.parent)), described.parent.resolve().name
    if name == POCKET:
        with as_file(files(pocket)) as folder:
            return from_files(folder / CONFIG, folder / "pocket.safetensors"), name
    return _from_hub(name, pretrained), f"{name}/{pretrained}" if pretrained else name


def _require_file(config: str) -> Path:
    if not Path(config).is_file():
        raise CannotLoad(f"there is no file {config}", "config")
    return Path(config)


def _from_file(weights: Path, name: str, config: str) -> LoadedModel:
    if weights.is_dir():
        advice = f"{weights} is a folder: name the file in it, or its model with --model {LOCAL}{weights}"
        raise CannotLoad(advice, "checkpoint")
    if not weights.is_file():
        raise CannotLoad(f"there is no file {weights}", "checkpoint")
    require_weights(weights)
    described = _require_file(config) if config else find_config(weights.parent)
    if described:
        ours = read_model_config(described)["model_cfg"]
        if name != POCKET and (why := find_disagreement(ours, _find_architecture(name))):
            beside = "" if config else f" beside {weights.name}"
            advice = f"{name} is not what {described}{beside} describes: {why}; leave the name out"
            raise CannotLoad(advice, "model")
        return from_files(described, weights)
    if name.startswith(LOCAL):
        return from_files(_describe_folder(name), weights)
    if name == POCKET:
        advice = f"put the {CONFIG} or {TOML} that describes {weights.name} beside it, or name one with --model-config"
        advice += f", or its architecture with --model{hugging_face.tell_other(weights.parent)}"
        raise CannotLoad(advice, "checkpoint")
    _check_name(name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    preprocess = open_clip.get_pretrained_cfg(name, tags[0]) if tags else None  # mean and deviation of its pixels
    with wrap_errors(f"{weights.name} does not fit {name}", "checkpoint"):
        model = open_clip.create_model(name, pretrained=str(weights), force_preprocess_cfg=preprocess)
    return LoadedModel(model, load_tokenizer(name))


def _describe_folder(name: str) -> Path:
    """The configuration in a folder."""
    folder = Path(name.removeprefix(LOCAL)).expanduser()
    config = find_config(folder)
    if config is None:
        other = hugging_face.tell_other(folder)
        raise CannotLoad(f"{name}: there is no {folder / CONFIG}, nor a {TOML}{other}", "model")
    return config


def _find_architecture(name: str) -> Mapping[str, Any]:
    """The `model_cfg` of a model name."""
    if name.startswith(LOCAL):
        return read_model_config(_describe_folder(name))["model_cfg"]
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
    for config_name, names, tokenizer in ((CONFIG, OURS, name), (hugging_face.CONFIG, hugging_face.WEIGHTS, "")):
        config, weights = find_cached(repository, (config_name,)), find_cached(repository, names)
        if config is not None and weights is not None and (tokenizer or hugging_face.is_readable(config)):
            return from_files(config, weights, tokenizer)
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


def find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise CannotLoad(f"device {name!r} cannot be used: {error}", "device") from error
    return torch.device(name)
