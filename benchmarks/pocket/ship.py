"""Both towers into the package, with the logit scale that the tune split asks for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import open_clip
import torch
from data import WHERE, load
from safetensors.torch import save_file
from text_tower import CONTEXT, HEADS, LAYERS, WIDTH
from torch import Tensor, nn
from views import MEAN, STD, normalise, whole

from tta_service.clip.pocket import tower as tower

FEATURES, SIDE, TOKENS = 256, 64, 49408
CONFIG = {
    "model_cfg": {
        "embed_dim": FEATURES,
        "vision_cfg": {
            "image_size": SIDE,
            "timm_model_name": "vit_pocket_64",
            "timm_model_pretrained": False,
            "timm_pool": "token",
            "timm_proj": None,
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": TOKENS,
            "width": WIDTH,
            "heads": HEADS,
            "layers": LAYERS,
        },
        "custom_text": True,
    },
    "preprocess_cfg": {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"},
}
EMBEDDING = "text.token_embedding"


def assemble(image: dict[str, Tensor], text: dict[str, Tensor], rows: Tensor) -> nn.Module:
    """The whole CLIP. Rows never trained become the mean of those that were."""
    parts = {part: CONFIG["model_cfg"][part] for part in ("embed_dim", "vision_cfg", "text_cfg")}
    model = open_clip.CustomTextCLIP(**parts).eval()
    trunk = {key.removeprefix("tower."): value for key, value in image.items() if key.startswith("tower.")}
    model.visual.trunk.load_state_dict(trunk)
    values = text.pop("token_embedding.weight")
    every = values.mean(0).repeat(TOKENS, 1).index_copy(0, rows, values)
    model.text.load_state_dict(text | {"token_embedding.weight": every})
    return model


def pack_weights(model: nn.Module, rows: Tensor, words: Tensor) -> dict[str, Tensor]:
    """What the file holds: float16, of the token embedding only the trained rows, of longer words their keys."""
    state = {key: (x.half() if x.is_floating_point() else x) for key, x in model.state_dict().items()}
    values = state.pop(f"{EMBEDDING}.weight")[rows]
    state = {key: x for key, x in state.items() if not key.endswith("attn_mask")}
    state |= {f"{EMBEDDING}.rows": rows.int(), f"{EMBEDDING}.values": values, "text.taught_words": words.int()}
    return {key: x.contiguous() for key, x in state.items()}


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """ECE (Guo et al. 2017, arXiv:1706.04599) of probabilities [n, c], in bins of equal width."""
    sure, answers = probabilities.max(1)
    right, place = (answers == labels).double(), (sure * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=torch.double).index_add(0, place, right - sure.double())
    return gap.abs().sum().item() / len(labels)


@torch.no_grad()
def choose_scale(model: nn.Module, aims: dict[str, Tensor], data: Path, cache: Path) -> tuple[float, dict[str, float]]:
    """The one logit scale whose worst ECE over the tune splits is smallest, and those errors."""
    cosines, labels = {}, {}
    for name, text in aims.items():
        pictures = load(data, name, "tune", cache)
        rows = torch.arange(len(pictures.labels)).split(250)
        features = [model.encode_image(normalise(whole(pictures.pixels[r], SIDE)), normalize=True) for r in rows]
        cosines[name], labels[name] = torch.cat(features) @ text.T, pictures.labels
    errors = {
        scale: {n: calibration_error((scale * c).softmax(1), labels[n]) for n, c in cosines.items()}
        for scale in [s / 2 for s in range(10, 120)]
    }
    best = min(errors, key=lambda scale: max(errors[scale].values()))
    return best, errors[best]


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help=WHERE)
    ask.add_argument("--run", type=Path, required=True, help="folder with image.pt (train.py) and text.pt (text.py)")
    ask.add_argument("--out", type=Path, default=Path(tower.__file__).parent)
    ask.add_argument("--threads", type=int, default=2)
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    image, text = torch.load(args.run / "image.pt", weights_only=False), torch.load(args.run / "text.pt")
    model = assemble(image["mean"], text["tower"], text["rows"])
    scale, errors = choose_scale(model, text["classes"], args.data, args.run / "cache")
    model.logit_scale.data.fill_(scale).log_()
    state = pack_weights(model, text["rows"], text["words"])
    save_file(state, args.out / "pocket.safetensors")
    (args.out / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    rest = sum(p.numel() for p in model.parameters()) - model.text.token_embedding.weight.numel()
    size = (args.out / "pocket.safetensors").stat().st_size
    print(f"scale {scale}, ECE on the tune split {errors}")
    print(f"{rest / 1e6:.2f} M parameters beside {len(text['rows'])} token rows, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
