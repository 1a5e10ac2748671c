"""What token reduction costs and saves: accuracy on held-out pictures, speed-up and patches left, per reducer and keep.

    python benchmarks/tokens.py --data FOLDER [--pictures 1000] [--out benchmarks/results/tokens.json]

First the pocket model on pictures that it never saw (the packed sets of benchmarks/pocket/data.py), then ViT-B-16 with
random weights, where only speed means anything. CPU seconds of one thread, medians over interleaved rounds, as ratios
to the unreduced tower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import open_clip
import torch
from pocket.data import load as pictures_of
from torch import Tensor
from torch.nn.functional import interpolate

from tta_service.clip.frozen import FrozenCLIP
from tta_service.clip.load import load
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reducer, Reduction
from tta_service.reducers import catalogue

matplotlib.use("agg")
from matplotlib import pyplot

KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
SETS = (("tiny_imagenet", "val"), ("cifar10", "test"))


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--pictures", type=int, default=1000)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tokens.json")
    asked = ask.parse_args()
    torch.set_num_threads(1)
    names = [name for name in catalogue.names() if name != "none"]
    pocket = load(device="cpu")
    result: dict[str, Any] = {"pocket": speeds(pocket, names, (1, 8, 64), asked.rounds)}
    if asked.data:
        result["accuracy"] = accuracies(pocket, names, asked.data, asked.pictures)
        curve(result, asked.out.with_suffix(".png"))
    named = FrozenCLIP(open_clip.create_model("ViT-B-16"), open_clip.get_tokenizer("ViT-B-16"), name="ViT-B-16")
    result["ViT-B-16"] = speeds(named, names, (1, 8), max(1, asked.rounds // 2), keeps=(0.7, 0.5))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


@dataclass(frozen=True)
class Counting(Reducer):
    """Another reducer, and how many patches it left."""

    name = "counting"
    inner: Reducer
    left: list[int] = field(default_factory=list, compare=False)

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        x, sizes = self.inner.reduce(layer, layers, x, sizes, q, k, prefix, guide)
        self.left.append(x.shape[1] - prefix)
        return x, sizes


def built(name: str, keep: float) -> Reducer:
    return catalogue.build(name, {"keep": keep})


def encoded(clip: FrozenCLIP, pixels: Tensor, reducer: Reducer | None, guide: Tensor) -> Tensor:
    guide = clip._image.aim(guide) if isinstance(reducer, Counting) and reducer.inner.guide_in_tokens else guide  # type: ignore
    return clip.encode_image(pixels, None if reducer is None else Reduction(reducer), guide)


def speeds(clip: FrozenCLIP, names, batches, rounds: int, keeps=KEEPS) -> dict[str, Any]:
    """Speed-up by batch, and patches left, of every reducer at every keep."""
    guide = torch.nn.functional.normalize(torch.randn(10, clip.dimension), dim=-1)
    table: dict[str, Any] = {}
    for keep in keeps:
        ways: dict[str, Reducer | None] = {"none": None, **{name: built(name, keep) for name in names}}
        for name in names:
            counting = Counting(built(name, keep))
            encoded(clip, torch.zeros(1, 3, clip.image_size, clip.image_size), counting, guide)
            table.setdefault(name, {})[str(keep)] = {"left": counting.left[-1]}
        for rows in batches:
            pixels = torch.randn(rows, 3, clip.image_size, clip.image_size)
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, reducer in ways.items():
                    start = time.process_time()
                    encoded(clip, pixels, reducer, guide)
                    seconds[way].append(time.process_time() - start)
            plain = statistics.median(seconds["none"])
            for name in names:
                table[name][str(keep)][f"speed-up at {rows}"] = round(plain / statistics.median(seconds[name]), 3)
        for name in names:
            print(clip.name, name, keep, table[name][str(keep)], flush=True)
    return table


def accuracies(clip: FrozenCLIP, names, data: Path, count: int) -> dict[str, Any]:
    """Top-1 in per cent by set, reducer and keep; the same pictures for all."""
    table: dict[str, Any] = {}
    for folder, part in SETS:
        pictures = pictures_of(data, folder, part)
        some = torch.randperm(len(pictures.labels), generator=torch.Generator().manual_seed(0))[:count]
        pixels = interpolate(pictures.pixels[some].float(), clip.image_size, mode="bicubic", antialias=True)
        pixels, labels = pixels.round().clamp(0, 255).to(torch.uint8), pictures.labels[some]
        text = clip.text_space(LabelSet(tuple(pictures.names))).features

        def top1(reducer: Reducer | None, pixels=pixels, labels=labels, text=text) -> float:
            features = torch.cat([encoded(clip, rows, reducer, text) for rows in pixels.split(64)])
            return round(100 * ((features @ text.T).argmax(1) == labels).float().mean().item(), 2)

        table[folder] = {"none": top1(None)}
        print(folder, table[folder], flush=True)
        for name in names:
            table[folder][name] = {str(keep): top1(built(name, keep)) for keep in KEEPS}
            print(folder, name, table[folder][name], flush=True)
    return table


def curve(result: dict[str, Any], path: Path) -> None:
    """Top-1 against speed-up at 64 rows, one line per reducer."""
    figure, panels = pyplot.subplots(1, len(SETS), figsize=(11, 4.5))
    for panel, (folder, _) in zip(panels, SETS, strict=True):
        top1 = result["accuracy"][folder]
        for name, by_keep in result["pocket"].items():
            speed = [by_keep[str(keep)]["speed-up at 64"] for keep in KEEPS]
            panel.plot(
                [1.0, *speed], [top1["none"], *(top1[name][str(keep)] for keep in KEEPS)], marker="o", label=name
            )
        panel.set(title=f"pocket model, {folder}", xlabel="speed-up at 64 rows", ylabel="top-1, %")
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
