"""A tiny data set in each of the papers' layouts, of random pictures: it proves that a command reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ..clip.text.imagenet import imagenet_names

CLASSES, EACH = 3, 2
SPLITS = {  # folder, folder of its pictures, file
    "caltech101": ("caltech-101", "101_ObjectCategories", "Caltech101"),
    "oxford_pets": ("oxford_pets", "images", "OxfordPets"),
    "stanford_cars": ("stanford_cars", "", "StanfordCars"),
    "oxford_flowers": ("oxford_flowers", "jpg", "OxfordFlowers"),
    "food101": ("food-101", "images", "Food101"),
    "sun397": ("sun397", "SUN397", "SUN397"),
    "dtd": ("dtd", "images", "DescribableTextures"),
    "eurosat": ("eurosat", "2750", "EuroSAT"),
    "ucf101": ("ucf101", "UCF-101-midframes", "UCF101"),
}
WORDS = ("dog", "school_bus", "flower")


def write_stand_in(name: str, root: Path) -> None:
    """Everything that reading `name` needs, under `root`."""
    ids = list(imagenet_names())[:CLASSES]
    match name:
        case "imagenet" | "imagenet_a" | "imagenet_r" | "imagenet_sketch":
            at = {
                "imagenet": "imagenet/images/val",
                "imagenet_a": "imagenet-adversarial/imagenet-a",
                "imagenet_r": "imagenet-rendition/imagenet-r",
                "imagenet_sketch": "imagenet-sketch/images",
            }[name]
            for place, id in enumerate(ids):
                _pictures(root / at / id, place, ".JPEG")
        case "imagenet_v2":
            lines = "".join(f"{id} name number {place}\n" for place, id in enumerate(imagenet_names()))
            for place in (0, 2, 10):  # sorted as words: 0, 10, 2
                _pictures(root / "imagenetv2/imagenetv2-matched-frequency-format-val" / str(place), place, ".jpeg")
            (root / "imagenetv2/classnames.txt").write_text(lines)
        case str() if name.startswith("imagenet_c/"):
            for place, id in enumerate(ids):
                _pictures(root / name.replace("imagenet_c", "imagenet-c") / id, place, ".JPEG")
        case "fgvc_aircraft":
            _aircraft(root / name)
        case _:
            _split(root, *SPLITS[name])


def _split(root: Path, folder: str, images: str, file: str) -> None:
    listed = []
    for place, word in enumerate(WORDS):
        made = _pictures(root / folder / images / word, place, ".jpg")
        listed += [[str(path.relative_to(root / folder / images)), place, word] for path in made]
    parts = {"train": listed[:1], "val": [], "test": listed}
    (root / folder / f"split_zhou_{file}.json").write_text(json.dumps(parts))


def _aircraft(folder: Path) -> None:
    names, lines = ["Spitfire", "Tornado", "Hawk T1"], []
    for place, name in enumerate(names):
        lines += [f"{path.stem} {name}" for path in _pictures(folder / "images", place, ".jpg")]
    (folder / "variants.txt").write_text("\n".join(names) + "\n")
    (folder / "images_variant_test.txt").write_text("\n".join(lines) + "\n")


def _pictures(folder: Path, place: int, suffix: str) -> list[Path]:
    """Not square, and larger than the pocket model's view."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, paths = np.random.default_rng(place), [folder / f"{place}{n:06d}{suffix}" for n in range(EACH)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (72, 96, 3), dtype=np.uint8)).save(path, "JPEG")
    return paths
