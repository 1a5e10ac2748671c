"""A name, a tag or a file to a frozen model: the bundled pocket model, anything that open_clip knows, or your own."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor

from . import pocket as pocket
from .frozen import FrozenCLIP

ROWS, VALUES, WEIGHT = (f"text.token_embedding.{part}" for part in ("rows", "values", "weight"))


def load(
    name: str = "pocket",
    pretrained: str = "",
    checkpoint: str = "",
    device: str = "auto",
    precision: str = "float32",
) -> FrozenCLIP:
    """The model, frozen."""
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    with as_file(files(pocket)) as folder:
        return _from_folder(Path(folder), Path(folder) / "pocket.safetensors", name, place, precision)


def _from_folder(folder: Path, weights: Path, name: str, device: str, precision: str) -> FrozenCLIP:
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    state = load_file(weights)
    trained = state[ROWS].long() if ROWS in state else None
    model = build(config, custom="text.positional_embedding" in state)
    model.load_state_dict(with_all_rows(state, model.vocab_size))
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return FrozenCLIP(model, tokenizer, name=name, precision=precision, device=device, trained_tokens=trained)


def build(config: dict[str, Any], custom: bool) -> Any:
    """An untrained model from the content of an open_clip_config.json."""
    parts = {key: value for key, value in config["model_cfg"].items() if key != "custom_text"}
    model = open_clip.CustomTextCLIP(**parts) if custom else open_clip.CLIP(**parts)
    look = open_clip.transform.PreprocessCfg(**{**config.get("preprocess_cfg", {}), "size": model.visual.image_size})
    open_clip.model.set_model_preprocess_cfg(model, asdict(look))
    return model


def with_all_rows(state: dict[str, Tensor], words: int) -> dict[str, Tensor]:
    """A state dict whose token embedding holds all rows: those left out become the mean of those given."""
    if ROWS not in state:
        return state
    rows, values = state.pop(ROWS).long(), state.pop(VALUES).float()
    state[WEIGHT] = values.mean(0).repeat(words, 1).index_copy(0, rows, values)
    return state
