"""Small CLIPs and SigLIPs in the layout of transformers, and what transformers itself says of them.

`hugging_face.json` has the configurations, names and shapes that transformers wrote, and the features that it computed;
the weights are drawn anew. With transformers installed, `python -m tests.clip.hugging_face` writes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.clip.small import pixels, tokenizer

FILE = Path(__file__).with_suffix(".json")
TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "openai": {"hidden_act": "quick_gelu"},
    "laion": {"hidden_act": "gelu"},
    "another end": {"hidden_act": "gelu", "vocab_size": 64, "eos_token_id": 7},
    "siglip": {"hidden_act": "gelu_pytorch_tanh", "vocab_size": 64},
    "siglip, exact": {"hidden_act": "gelu", "vocab_size": 64, "intermediate_size": 75},
}
PROMPTS = "a photo of a cat.", "a photo of a dog."


def describe(kind: str) -> dict[str, Any]:
    """The arguments of transformers' configuration."""
    words = KINDS[kind].get("vocab_size", 49408)
    own = {"intermediate_size": 64, **KINDS[kind]}
    text = {**TOWER, **own, "vocab_size": words, "max_position_embeddings": 20}
    vision = {**TOWER, **{key: own[key] for key in ("intermediate_size", "hidden_act")}, "image_size": 32}
    parts = {"text_config": text, "vision_config": vision | {"patch_size": 8}}
    return parts if kind.startswith("siglip") else {**parts, "projection_dim": 24}


def tokens(kind: str) -> Tensor:
    """Two rows of token ids [2, 20]."""
    if "vocab_size" not in KINDS[kind]:
        return tokenizer()(list(PROMPTS))
    rows = np.random.RandomState(3).randint(8, 63, (2, 20))
    rows[0, 9:] = rows[1, 12] = 7  # the end token of "another end"
    return torch.from_numpy(rows).long()


def draw(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights far from zero, the same wherever they are drawn."""
    random = np.random.RandomState(0)
    return {name: torch.tensor(0.2 * random.standard_normal(shape)).float() for name, shape in shapes.items()}


def write_folder(kind: str, folder: Path) -> Path:
    """config.json, preprocessor_config.json and model.safetensors."""
    told = json.loads(FILE.read_text())[kind]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(told["config"]))
    look = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "image_processor_type": "CLIPImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(look))
    save_file(draw(told["shapes"]), folder / "model.safetensors")
    return folder


def features(kind: str) -> tuple[Tensor, Tensor]:
    """What transformers computed: of three pictures, and of `tokens`, both of unit length."""
    told = json.loads(FILE.read_text())[kind]
    return torch.tensor(told["images"]), torch.tensor(told["texts"])


def compute(kind: str) -> dict[str, Any]:
    """All of that by transformers."""
    import transformers

    family = "Siglip" if kind.startswith("siglip") else "CLIP"
    config = getattr(transformers, f"{family}Config")(**describe(kind))
    model = getattr(transformers, f"{family}Model")(config).eval()
    shapes = {name: list(value.shape) for name, value in sorted(model.state_dict().items())}
    model.load_state_dict(draw(shapes))
    with torch.no_grad():
        of = model.get_image_features(pixel_values=pixels()), model.get_text_features(input_ids=tokens(kind))
    images, texts = (getattr(one, "pooler_output", one) for one in of)
    unit = [(one / one.norm(dim=-1, keepdim=True)).tolist() for one in (images, texts)]
    return {"config": json.loads(config.to_json_string()), "shapes": shapes, "images": unit[0], "texts": unit[1]}


if __name__ == "__main__":
    FILE.write_text(json.dumps({kind: compute(kind) for kind in KINDS}))
