"""What token reduction costs and saves: accuracy on held-out pictures, speed-up and patches left, per reducer and keep.

    python benchmarks/tokens.py --data FOLDER [--pictures 2000] [--only accuracy|speed|named]

First the pocket model on pictures that it never saw (the packed sets of benchmarks/pocket/data.py), then ViT-B-16 with
random weights, where only speed means anything. Speeds: CPU seconds of one thread for pixels to features, medians over
interleaved rounds, as ratios to the unreduced tower. Equal `keep` is equal cost: the same multiply-adds.

Writes tokens.json, .md and .png under benchmarks/results/; what is not measured again stays.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from machine import load_average, processor
from pocket.data import load as pictures_of
from tokens_table import curve, table
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from tta_service.clip.image.tower import ImageTower, encode
from tta_service.clip.image.vit_adapters import take_apart
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reducer, Reduction
from tta_service.reducers import catalogue

KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
SETS = (("tiny_imagenet", "val"), ("cifar10", "test"))
NAMES = [name for name in catalogue.names() if name != "none"]
SEEDS = (0, 1, 2)  # of `random`, whose pattern may be lucky: its pictures are judged by the mean of these
RESULTS = Path(__file__).resolve().parent / "results" / "tokens.json"


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    pocket = load(device="cpu")
    if args.data and args.only in ("", "accuracy"):
        for folder, part in SETS:
            if args.sets in ("", folder):
                save("accuracy", {folder: accuracies(pocket, args.data, folder, part, args.pictures, args.keeps)})
    if args.only in ("", "speed"):
        save("pocket", speeds(pocket, {1: args.rounds, 8: args.rounds, 64: args.rounds}, KEEPS))
    if args.only in ("", "named"):
        model, tokenizer = open_clip.create_model("ViT-B-16"), open_clip.get_tokenizer("ViT-B-16")
        named = FrozenCLIP(model, tokenizer, name="ViT-B-16")
        save("ViT-B-16", speeds(named, {1: 5, 8: 2, 64: 1}, (0.7,)))
    print(RESULTS.with_suffix(".md").read_text())


def build_reducer(name: str, keep: float, seed: int = 0) -> Reducer:
    return catalogue.build(name, {"keep": keep, **({"seed": seed} if name == "random" else {})})


@torch.no_grad()
def accuracies(
    clip: FrozenCLIP, data: Path, folder: str, part: str, count: int, keeps: tuple[float, ...]
) -> dict[str, Any]:
    """The unreduced tower and every reducer at every keep on the same pictures of one set; what leads up to the blocks
    is the same for all and computed once."""
    tower = _tower(clip)
    pictures = pictures_of(data, folder, part)
    some = torch.randperm(len(pictures.labels), generator=torch.Generator().manual_seed(0))[:count]
    text = clip.text_space(LabelSet(tuple(pictures.names))).features
    tokens = torch.cat([tower.embed(_normalise(clip, rows)) for rows in pictures.pixels[some].split(64)])
    cached = replace(tower, embed=lambda x: x)

    def answers(reducer: Reducer | None) -> Tensor:
        features = [encode(cached, rows, reducer, text) for rows in tokens.split(64)]
        return (normalize(torch.cat(features), dim=-1) @ text.T).argmax(1)

    return compare(answers, pictures.labels[some], keeps)


def compare(answers: Callable[[Reducer | None], Tensor], labels: Tensor, keeps: tuple[float, ...]) -> dict[str, Any]:
    """Top-1, and the differences with their standard errors, paired by picture; all in points."""
    plain = answers(None)
    right = (plain == labels).double()
    found: dict[str, Any] = {"pictures": len(labels), "none": _points(right)[0]}
    for keep in keeps:
        draws = [answers(build_reducer("random", keep, seed)) for seed in SEEDS]
        dropped = torch.stack([(top == labels).double() for top in draws]).mean(0)
        for name in NAMES:
            top = draws[0] if name == "random" else answers(build_reducer(name, keep))
            hit = dropped if name == "random" else (top == labels).double()
            found.setdefault(name, {})[str(keep)] = {
                "top1": _points(hit)[0],
                "to none": _points(hit - right),
                "to random": _points(hit - dropped),
                "same answer": _points((top == plain).double())[0],
            }
            print(name, keep, found[name][str(keep)], flush=True)
    return found


@torch.no_grad()
def speeds(clip: FrozenCLIP, batches: dict[int, int], keeps: tuple[float, ...]) -> dict[str, Any]:
    """Patches left and speed-up by batch, of every reducer at every keep; `batches`: rounds by rows."""
    guide = normalize(torch.randn(10, clip.dimension), dim=-1)
    ways: dict[tuple[str, float], Reducer | None] = {("none", 1.0): None}
    ways |= {(name, keep): build_reducer(name, keep) for keep in keeps for name in NAMES}
    measured: dict[str, Any] = {name: {str(keep): {} for keep in keeps} for name in NAMES}
    for name, keep in list(ways)[1:]:
        measured[name][str(keep)]["left"] = clip.tokens_left(build_reducer(name, keep))[-1]
    for rows, rounds in batches.items():
        pixels = torch.randn(rows, 3, clip.image_size, clip.image_size)
        seconds: dict[tuple[str, float], list[float]] = {way: [] for way in ways}
        for way in [*ways] * rounds + [("none", 1.0)]:  # the plain way begins and ends
            start = time.process_time()
            clip.encode_image(pixels, None if ways[way] is None else Reduction(ways[way]), guide)  # type: ignore[arg-type]
            seconds[way].append(time.process_time() - start)
        plain = statistics.median(seconds.pop(("none", 1.0)))
        for (name, keep), some in seconds.items():
            measured[name][str(keep)][f"speed-up at {rows}"] = round(plain / statistics.median(some), 3)
        print(clip.name, rows, "rows:", {f"{n} {k}": measured[n][str(k)][f"speed-up at {rows}"] for n, k in seconds})
    return measured


def save(part: str, found: dict[str, Any]) -> None:
    """Into the results in place of the older part; table and curve anew."""
    RESULTS.parent.mkdir(exist_ok=True)
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    report[part] = _merge(report.get(part), found) if part == "accuracy" else found
    report.setdefault("load", {})[part] = load_average()
    report |= {"torch": torch.__version__, "cpu": processor()}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(report))
    if "accuracy" in report and "pocket" in report:
        curve(report, RESULTS.with_suffix(".png"))


def _merge(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Sets, reducers and keeps that were not measured again stay; keeps in falling order."""
    if old is None or old.get("pictures") != new.get("pictures"):
        return new  # judged on other pictures
    merged = {key: _merge(old.get(key), one) if isinstance(one, dict) else one for key, one in new.items()}
    merged |= {key: one for key, one in old.items() if key not in merged}
    return dict(sorted(merged.items(), reverse=True)) if all(key[:1].isdigit() for key in merged) else merged


def _tower(clip: FrozenCLIP) -> ImageTower:
    tower = take_apart(clip.model.visual)
    assert isinstance(tower, ImageTower)
    return tower


def _normalise(clip: FrozenCLIP, pixels: Tensor) -> Tensor:
    """Pictures of any size as the tower reads them, uint8 [b, 3, h, w] to float [b, 3, s, s]."""
    sized = interpolate(pixels.float(), clip.image_size, mode="bicubic", antialias=True).round().clamp(0, 255)
    config = open_clip.get_model_preprocess_cfg(clip.model)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    return (sized / 255 - mean) / std


def _points(each: Tensor) -> list[float]:
    """Mean and standard error in points."""
    return [round(100 * float(each.mean()), 2), round(100 * float(each.std()) / len(each) ** 0.5, 2)]


def _arguments() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--pictures", type=int, default=2000, help="of each set")
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--sets", default="", help="tiny_imagenet or cifar10")
    ask.add_argument("--keeps", type=lambda s: tuple(float(keep) for keep in s.split(",")), default=KEEPS)
    ask.add_argument("--only", default="", help="accuracy, speed or named")
    return ask.parse_args()


if __name__ == "__main__":
    main()
