"""Builds a model and its tokenizer from weights and the open_clip_config.json that describes them; compares two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from open_clip.factory import load_checkpoint, load_state_dict
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg
from torch import Tensor

from .. import CannotLoad
from ..text.tokenize import TrainedVocabulary, make_vocabulary
from .file_format import why_not_weights
from .hub import find_cached, require_hub

CONFIG = "open_clip_config.json"
ROWS, VALUES, WEIGHT = (f"text.token_embedding.{part}" for part in ("rows", "values", "weight"))
UNSAFE = ("weights_only", "trust_remote_code")  # options that libraries advise in their errors and that run code
WORDS = "text.taught_words"  # keys of trained words of several tokens (`tokenize.word_key`)
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


class LoadedModel(NamedTuple):
    """A model, its tokenizer, and the trained part of its vocabulary."""

    model: Any
    tokenizer: Any
    vocabulary: TrainedVocabulary | None = None  # None: all of it is trained


def from_folder(config: Path, weights: Path, tokenizer: str = "") -> LoadedModel:
    """The model of a weights file and its configuration. Raises `CannotLoad`.

    A token embedding may hold its trained rows only (`expand_token_embedding`). `tokenizer` is a model name of
    open_clip; by default the tokenizer is the one that the folder of `config` describes.
    """
    require_weights(weights)
    with wrap_errors(f"{weights.name} does not fit {config}", "checkpoint"):
        state: dict[str, Any] = load_state_dict(str(weights))  # type: ignore[assignment]
        model = build_model(read_model_config(config), any(key.startswith("text.") for key in state))
        if ROWS not in state:
            load_checkpoint(model, str(weights))  # which also converts other authors' layouts
        else:
            model.load_state_dict(expand_token_embedding(state, model.vocab_size))
    vocabulary = make_vocabulary(state[ROWS], state.get(WORDS)) if ROWS in state else None
    return LoadedModel(model, load_tokenizer(tokenizer or f"local-dir:{config.parent}"), vocabulary)


def require_weights(file: Path) -> None:
    """Raises `CannotLoad` for a file that does not hold weights."""
    try:
        why = why_not_weights(file)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
    if why:
        raise CannotLoad(f"{file.name} does not fit any model: {why}", "checkpoint")


def read_model_config(config: Path) -> dict[str, Any]:
    """Read an open_clip_config.json. Raises `CannotLoad`."""
    with wrap_errors(f"{config} describes no model", "checkpoint"):
        content: dict[str, Any] = json.loads(config.read_text(encoding="utf-8-sig"))
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= content["model_cfg"].keys():
            raise ValueError("its model_cfg needs embed_dim, vision_cfg and text_cfg")
        return content


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


def build_model(config: dict[str, Any], custom: bool) -> Any:
    """An untrained model. `custom`: its text tower is a separate module, with keys that begin with "text."."""
    parts = {key: value for key, value in config["model_cfg"].items() if key != "custom_text"}
    kind = open_clip.CoCa if "multimodal_cfg" in parts else open_clip.CustomTextCLIP if custom else open_clip.CLIP
    parts["vision_cfg"] = {**parts["vision_cfg"], "timm_model_pretrained": False}
    if parts["text_cfg"].get("hf_model_name"):
        parts["text_cfg"] = {**parts["text_cfg"], "hf_model_pretrained": False}
    model = kind(**parts)
    preprocess = PreprocessCfg(**{**config.get("preprocess_cfg", {}), "size": model.visual.image_size})
    open_clip.set_model_preprocess_cfg(model, asdict(preprocess))
    return model


def expand_token_embedding(state: dict[str, Tensor], words: int) -> dict[str, Tensor]:
    """A state dict whose token embedding [words, w] has all rows: a missing row is the mean of the stored ones."""
    rows, values = state[ROWS].long(), state[VALUES].float()
    full = values.mean(0).repeat(words, 1).index_copy(0, rows, values)
    return {**{key: value for key, value in state.items() if key not in (ROWS, VALUES, WORDS)}, WEIGHT: full}


def load_tokenizer(name: str) -> Any:
    """open_clip's tokenizer of a model name. `CannotLoad` when its files are on a hub that does not answer."""
    wanted = f"the tokenizer of {name}"
    with wrap_errors(f"cannot load {wanted}", "model"):
        source = str(((open_clip.get_model_config(name) or {}).get("text_cfg") or {}).get("hf_tokenizer_name") or "")
        if not source or name.startswith("local-dir:"):
            return open_clip.get_tokenizer(name)
        if find_cached(source, ("tokenizer_config.json", "tokenizer.json")):
            return open_clip.get_tokenizer(name, local_files_only=True)
        require_hub(wanted)
        return open_clip.get_tokenizer(name)


@contextmanager
def wrap_errors(what: str, field: str) -> Iterator[None]:
    """Turns any exception inside into a `CannotLoad` of one sentence: `what`, then the start of the cause."""
    try:
        yield
    except CannotLoad:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        if any(word in why for word in UNSAFE):
            why = "it holds more than tensors or is damaged; what may run code of its own is never loaded"
        elif isinstance(error, StopIteration):
            why = "it holds no tensors"
        elif not isinstance(error, OSError | RuntimeError | ValueError):
            why = f"{type(error).__name__} {why}".rstrip()
        raise CannotLoad(f"{what}: {why if len(why) <= 500 else f'{why[:500]}…'}", field) from error
