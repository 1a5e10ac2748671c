"""Builds a model and its tokenizer from weights and their configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.factory import load_checkpoint, load_state_dict
from open_clip.transform import PreprocessCfg
from torch import Tensor

from .. import CannotLoad, wrap_errors
from ..text.tokenize import TrainedVocabulary, make_vocabulary
from . import hugging_face
from .config import read_model_config
from .file_format import is_part, why_not_weights
from .hub import find_cached, require_hub
from .hugging_face import TOKENIZER
from .renaming import convert, is_foreign

log = logging.getLogger(__name__)
OURS = HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
SUFFIXES = {".safetensors", ".bin", ".pt", ".pth"}
ROWS, VALUES, WEIGHT = (f"text.token_embedding.{part}" for part in ("rows", "values", "weight"))
WORDS = "text.taught_words"  # keys of trained words of several tokens (`tokenize.word_key`)


class LoadedModel(NamedTuple):
    """A model, its tokenizer, and the trained part of its vocabulary."""

    model: Any
    tokenizer: Any
    vocabulary: TrainedVocabulary | None = None  # None: all of it is trained


def from_files(config: Path, weights: Path, tokenizer: str = "") -> LoadedModel:
    """The model of a weights file and its configuration. Raises `CannotLoad`.

    `tokenizer` is a model name of open_clip; by default the tokenizer is the one that `config` describes.
    """
    model, content, vocabulary = load_model(config, weights)
    made = load_tokenizer(tokenizer) if tokenizer else make_tokenizer(content["model_cfg"]["text_cfg"], config)
    return LoadedModel(model, made, vocabulary)


def load_model(config: Path, weights: Path) -> tuple[Any, dict[str, Any], TrainedVocabulary | None]:
    """The model alone, what its configuration says, and the trained part of its vocabulary. Raises `CannotLoad`.

    A token embedding may hold its trained rows only (`expand_token_embedding`).
    """
    require_weights(weights)
    content = read_model_config(config)
    if missing := {"mean", "std"} - content.get("preprocess_cfg", {}).keys():
        why = "pixels are normalised as for OpenAI's CLIP, and a model that was trained otherwise answers worse"
        if hugging_face.is_readable(config):
            what = f"no {hugging_face.PIXELS} beside it with " + " and ".join(f"image_{one}" for one in sorted(missing))
        else:
            what = f"no preprocess_cfg with {' and '.join(sorted(missing))}"
        log.warning("%s has %s: %s", config, what, why)
    with wrap_errors(f"{weights.name} does not fit {config}", "checkpoint"):
        state: dict[str, Any] = load_state_dict(str(weights))  # type: ignore[assignment]
        converted = convert(state) if is_foreign(state) else {}
    with wrap_errors(f"{config} describes no model", "config"):
        model = build_model(content, any(key.startswith("text.") for key in converted or state))
    with wrap_errors(f"{weights.name} does not fit {config}", "checkpoint"):
        if converted:
            model.load_state_dict(converted)
        elif ROWS not in state:
            load_checkpoint(model, str(weights))  # which also converts other authors' layouts
        else:
            model.load_state_dict(expand_token_embedding(state, model.vocab_size))
    return model, content, make_vocabulary(state[ROWS], state.get(WORDS)) if ROWS in state else None


def find_weights(folder: Path) -> Path:
    """The weights file with the usual name, or the only one. Raises `CannotLoad`."""
    usual = [folder / name for name in (*OURS, *hugging_face.WEIGHTS) if (folder / name).is_file()]
    found = usual or sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    for part in filter(is_part, found):
        require_weights(part)  # which tells what to do
    if not usual and len(found) != 1:
        names = f"{len(found)} files of weights ({', '.join(file.name for file in found)})" if found else "no weights"
        raise CannotLoad(f"{folder} holds {names}; give one with --checkpoint", "model")
    return found[0]


def require_weights(file: Path) -> None:
    """Raises `CannotLoad` for a file that does not hold weights."""
    try:
        why = why_not_weights(file)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
    if why:
        raise CannotLoad(f"{file.name} does not fit any model: {why}", "checkpoint")


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


def make_tokenizer(text: Mapping[str, Any], config: Path) -> Any:
    """The tokenizer of a `text_cfg`: its files lie beside `config`, or on the hub. Raises `CannotLoad`."""
    wanted, source = f"the tokenizer of {config}", str(text.get("hf_tokenizer_name") or "")
    options: dict[str, Any] = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
    with wrap_errors(f"cannot load {wanted}", "model"):
        if not source:
            if options.keys() == {"context_length"}:  # open_clip holds such a tokenizer anyway: 20 MB
                return partial(open_clip.tokenize, **options)
            return open_clip.SimpleTokenizer(**options)
        if any((config.parent / name).is_file() for name in TOKENIZER):
            source = str(config.parent)
        elif not find_cached(source, TOKENIZER):
            require_hub(wanted)
        _require_transformers()
        return open_clip.tokenizer.HFTokenizer(source, tokenizer_mode=text.get("tokenizer_mode"), **options)


def load_tokenizer(name: str) -> Any:
    """open_clip's tokenizer of a model name. `CannotLoad` when its files are on a hub that does not answer."""
    wanted = f"the tokenizer of {name}"
    with wrap_errors(f"cannot load {wanted}", "model"):
        source = str(((open_clip.get_model_config(name) or {}).get("text_cfg") or {}).get("hf_tokenizer_name") or "")
        if not source:
            return open_clip.get_tokenizer(name)
        options: dict[str, Any] = {"local_files_only": True} if find_cached(source, TOKENIZER) else {}
        if not options:
            require_hub(wanted)
        _require_transformers()
        return open_clip.get_tokenizer(name, **options)


def _require_transformers() -> None:
    if find_spec("transformers") is None:
        raise ValueError("it is one of Hugging Face, which needs `pip install transformers`")
