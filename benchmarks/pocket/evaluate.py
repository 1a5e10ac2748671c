"""The tables of the model card, measured on what ships, through the service's own loader, views and text.

Zero-shot with the names alone in "a photo of a {}.", on Tiny ImageNet val and CIFAR-10 test, which nothing was
trained or tuned on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from data import WHERE, Pictures, load
from ship import calibration_error
from torch import Tensor
from torch.nn import functional as F
from understood import word_tables

from benchmarks.shifts import SHIFTS, apply_shift
from tta_service.clip.load import load as load_clip
from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet
from tta_service.images.views import look

SETS = {"tiny_imagenet": "val", "cifar10": "test"}


def encode(clip: FrozenCLIP, pixels: Tensor) -> Tensor:
    """Plain views of pictures [n, 3, h, w] uint8 to features [n, d]; square pictures, hence no cropping."""
    if pixels.shape[-1] != clip.image_size:
        pixels = F.interpolate(pixels, size=(clip.image_size,) * 2, mode="bicubic", antialias=True)
    return torch.cat([clip.encode_image(rows) for rows in pixels.split(250)])


def top1(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(1) == labels).double().mean().item()


def clean(clip: FrozenCLIP, pictures: Pictures, features: Tensor) -> str:
    text = clip.text_space(LabelSet(pictures.names))
    logits = text.scale * features @ text.features.T
    five = (logits.topk(5).indices == pictures.labels[:, None]).any(1).double().mean().item()
    error = calibration_error(logits.softmax(1), pictures.labels)
    return f"| {len(logits)} | {top1(logits, pictures.labels):.2f} | {100 * five:.2f} | {error:.3f} |"


def crops(clip: FrozenCLIP, pictures: Pictures, views: int = 64) -> str:
    """Mean top-1 of single crops beside the plain view's, and of the mean over all views' probabilities."""
    text = clip.text_space(LabelSet(pictures.names))
    plain = single = mean = 0.0
    for seed, (picture, label) in enumerate(zip(pictures.pixels, pictures.labels, strict=True)):
        seen = look(picture, clip.image_size, views + 1, seed)
        logits = text.scale * clip.encode_image(seen.pixels) @ text.features.T
        plain += float(logits[0].argmax() == label)
        single += (logits[1:].argmax(1) == label).double().mean().item()
        mean += float(logits.softmax(1).mean(0).argmax() == label)
    n = len(pictures.labels) / 100
    return f"| {len(pictures.labels)} | {plain / n:.1f} | {single / n:.1f} | {single / plain:.2f} | {mean / n:.1f} |"


def clean_tables(clip: FrozenCLIP, sets: dict[str, Pictures]) -> None:
    print(f"logit scale {clip.scale:.1f}\n\n| clean | pictures | top-1 | top-5 | ECE |\n|---|---|---|---|---|")
    features = {name: encode(clip, pictures.pixels) for name, pictures in sets.items()}
    for name, pictures in sets.items():
        print(f"| {name} {SETS[name]} {clean(clip, pictures, features[name])}", flush=True)
    word_tables(clip, sets, features)


def crop_table(clip: FrozenCLIP, sets: dict[str, Pictures]) -> None:
    print("\n| crops | pictures | plain | one of 64 crops | ratio | mean of all |\n|---|---|---|---|---|---|")
    for name, pictures in sets.items():
        print(f"| {name} {crops(clip, pictures)}", flush=True)


def shift_table(clip: FrozenCLIP, sets: dict[str, Pictures]) -> None:
    count = len(sets["cifar10"].labels)
    print(f"\n| top-1 of {count}, shifted | none | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|---|")
    for name, pictures in sets.items():
        text = clip.text_space(LabelSet(pictures.names)).features
        plain = top1(encode(clip, pictures.pixels) @ text.T, pictures.labels)
        for shift in SHIFTS:
            moved = [encode(clip, apply_shift(shift, severity, pictures.pixels)) for severity in range(1, 6)]
            row = " | ".join(f"{top1(features @ text.T, pictures.labels):.1f}" for features in moved)
            print(f"| {name} {shift} | {plain:.1f} | {row} |", flush=True)


def forward_time(clip: FrozenCLIP, views: int = 64, rounds: int = 5) -> float:
    """Seconds of one forward, the best of some."""
    pixels = torch.randint(256, (views, 3, clip.image_size, clip.image_size), dtype=torch.uint8)
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        clip.encode_image(pixels)
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help=WHERE)
    ask.add_argument("--cache", type=Path, help="folder for the decoded pictures")
    ask.add_argument("--clean", type=int, default=10_000, help="pictures of each set as they are; 0: no such table")
    ask.add_argument("--cropped", type=int, default=500, help="pictures of each set for the 64 crops, or 0")
    ask.add_argument("--shifted", type=int, default=2000, help="pictures of each set for each corruption, or 0")
    ask.add_argument("--threads", type=int, default=2)
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    clip = load_clip("pocket", device="cpu")
    sets = {name: load(args.data, name, part, args.cache) for name, part in SETS.items()}
    some = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    for table, count in ((clean_tables, args.clean), (crop_table, args.cropped), (shift_table, args.shifted)):
        if count:
            table(clip, {name: pictures.rows(some[:count]) for name, pictures in sets.items()})
    print(f"\none forward of 64 views: {forward_time(clip):.3f} s on {args.threads} threads")


if __name__ == "__main__":
    main()
