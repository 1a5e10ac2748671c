"""The pictures that train the pocket model: packed npz files to uint8 arrays, and the split that no training sees."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

WHERE = (
    "Folder with the packed sets. `tiny_imagenet/train-*.npz, val.npz` are made from cs231n.stanford.edu/"
    "tiny-imagenet-200.zip, `cifar10/train.npz, test.npz` from www.cs.toronto.edu/~kriz/cifar.html, `flickr8k_1k/"
    "captions.json` (a list of five captions a photograph) from the Flickr8k release. An npz holds `blob` (all JPEG "
    "bytes), `off` (int64, n + 1 offsets), `label`, `names` and, for Tiny ImageNet, `synonyms` (comma-separated)."
)
TUNE = {"tiny_imagenet": 30, "cifar10": 500}  # last pictures of each class, kept for choosing scales and thresholds
SIDE = {"tiny_imagenet": 64, "cifar10": 32}  # pixels


@dataclass(frozen=True, slots=True)
class Pictures:
    pixels: Tensor  # [n, 3, s, s] uint8
    labels: Tensor  # [n] int64
    names: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]  # the name first

    def rows(self, chosen: Tensor) -> Pictures:
        return Pictures(self.pixels[chosen], self.labels[chosen], self.names, self.synonyms)


def read(files: Sequence[Path]) -> Pictures:
    """Every picture of the given npz files, in the order of the files."""
    pixels, labels, names, synonyms = [], [], (), ()
    for path in files:
        with np.load(path, allow_pickle=False) as packed:
            blob, off = packed["blob"], packed["off"]
            opened = (Image.open(io.BytesIO(blob[a:b].tobytes())) for a, b in pairwise(off))
            pixels += [np.asarray(image.convert("RGB")) for image in opened]
            labels.append(packed["label"].astype(np.int64))
            names = tuple(str(name) for name in packed["names"])
            listed = [str(words) for words in packed["synonyms"]] if "synonyms" in packed else list(names)
            synonyms = tuple(tuple(w.strip() for w in words.split(",") if w.strip()) for words in listed)
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Pictures(stacked, torch.from_numpy(np.concatenate(labels)), names, synonyms)


def tune_rows(labels: Tensor, last: int) -> Tensor:
    """[n] bool: the last `last` pictures of each class in file order."""
    left = torch.stack([(labels == label).flip(0).cumsum(0).flip(0) for label in labels.unique()])  # [c, n]
    return left[torch.searchsorted(labels.unique(), labels), torch.arange(len(labels))] <= last


def training_files(data: Path, name: str) -> list[Path]:
    """In the order of their pictures. Raises FileNotFoundError when there are none."""
    found = sorted((data / name).glob("train*.npz"))
    if not found:
        raise FileNotFoundError(f"{data / name} holds no train*.npz: is {data} the folder with the packed sets?")
    return found


def load(data: Path, name: str, part: str, cache: Path | None = None) -> Pictures:
    """`part`: train | tune | val (Tiny ImageNet) | test (CIFAR-10). Decoded once into `cache`, if one is given."""
    held = part in ("train", "tune")
    kept = cache / f"{name}-{'train' if held else part}.pt" if cache else None
    if kept is not None and kept.exists():
        pictures = Pictures(**torch.load(kept, mmap=True))
    else:
        pictures = read(training_files(data, name) if held else [data / name / f"{part}.npz"])
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save({field: getattr(pictures, field) for field in Pictures.__slots__}, kept)
    if not held:
        return pictures
    tune = tune_rows(pictures.labels, TUNE[name])
    return pictures.rows((tune if part == "tune" else ~tune).nonzero().squeeze(1))
