"""The papers' data sets as they lie in the folders of CoOp's DATASETS.md, which TPT, TDA, MTA and most others read.

Class names come with the data, as the papers use them: `classnames.txt` beside ImageNet's variants (without it,
open_clip's list, in timm's order of the WordNet ids), the test part of `split_zhou_*.json` beside nine of the ten
fine-grained sets, `variants.txt` beside the aircraft. So no list of ours can be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..clip.text.templates import expand_templates
from .folders import find_pictures
from .pictures import PictureSet, make_distinct, of_files
from .tables import read_text
from .wordnet import read_class_names

Read = Callable[[Path], PictureSet]
SEVEN, EIGHTY = ("simple",), ("openai",)

CORRUPTIONS = (  # ImageNet-C's fifteen, without the four that are for validation
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)


@dataclass(frozen=True)
class Layout:
    """`read(root)` the folder of all sets; `sentences`: templates of TDA, BoostAdapter and DOTA, or a set's name."""

    read: Read
    sentences: tuple[str, ...]

    @property
    def templates(self) -> tuple[str, ...]:
        """Every sentence, with {} for the name."""
        return expand_templates(self.sentences)


def imagenet(folder: str, images: str) -> Read:
    """Class folders named after WordNet ids, all thousand or some; the labels are those that are there."""

    def read(root: Path) -> PictureSet:
        named = read_class_names(root / folder)
        classes = [path for path in sorted((root / folder / images).iterdir()) if path.name in named]
        return _of_folders(folder, classes, [named[path.name] for path in classes])

    return read


def imagenet_v2(folder: str, images: str) -> Read:
    """ImageNet-V2: class folders "0" to "999", which sort as numbers and not as words.

    Reading raises ValueError for a folder beyond the names.
    """

    def read(root: Path) -> PictureSet:
        named = list(read_class_names(root / folder).values())
        found = (path for path in (root / folder / images).iterdir() if path.name.isdecimal())
        classes = sorted(found, key=lambda path: int(path.name))
        if classes and int(classes[-1].name) >= len(named):
            raise ValueError(f"{classes[-1]}: there are {len(named)} names of classes, for the folders from 0 on")
        return _of_folders(folder, classes, [named[int(path.name)] for path in classes])

    return read


def split(folder: str, images: str, name: str) -> Read:
    """A test part of [path, label, name] triples. Raises ValueError for a file without one."""

    def read(root: Path) -> PictureSet:
        file = root / folder / f"split_zhou_{name}.json"
        try:
            parts = json.loads(read_text(file))
            listed = {
                part: [(str(path), int(label), str(name)) for path, label, name in rows] for part, rows in parts.items()
            }
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"{file}: it is no JSON of parts with [path, label, name] triples") from None
        if not listed.get("test"):
            raise ValueError(f"{file}: it has no test part")
        named = {label: name for part in listed.values() for _, label, name in part}
        places = {label: place for place, label in enumerate(sorted(named))}
        files = [root / folder / images / path for path, _, _ in listed["test"]]
        labels = [places[label] for _, label, _ in listed["test"]]
        return of_files(folder, files, labels, [named[label] for label in sorted(named)])

    return read


def aircraft(root: Path) -> PictureSet:
    """A list of files and variants. Raises ValueError for a variant that `variants.txt` does not have."""
    folder = root / "fgvc_aircraft"
    names = _read_lines(folder / "variants.txt")
    places = {name: place for place, name in enumerate(names)}
    table = folder / "images_variant_test.txt"
    listed = [(file, name.strip()) for file, _, name in (line.partition(" ") for line in _read_lines(table))]
    if unknown := [name for _, name in listed if name not in places]:
        raise ValueError(f"{table}: {unknown[0]!r} is no variant of variants.txt")
    files = [folder / "images" / f"{file}.jpg" for file, _ in listed]
    return of_files("fgvc_aircraft", files, [places[name] for _, name in listed], names)


def _read_lines(file: Path) -> list[str]:
    """Those that are not blank."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _of_folders(name: str, classes: Sequence[Path], names: Sequence[str]) -> PictureSet:
    found = [(path, place) for place, folder in enumerate(classes) for path in find_pictures(folder)]
    return of_files(name, [path for path, _ in found], [place for _, place in found], names)


LAYOUTS: dict[str, Layout] = {
    "imagenet": Layout(imagenet("imagenet", "images/val"), SEVEN),
    "imagenet_a": Layout(imagenet("imagenet-adversarial", "imagenet-a"), SEVEN),
    "imagenet_r": Layout(imagenet("imagenet-rendition", "imagenet-r"), EIGHTY),
    "imagenet_v2": Layout(imagenet_v2("imagenetv2", "imagenetv2-matched-frequency-format-val"), SEVEN),
    "imagenet_sketch": Layout(imagenet("imagenet-sketch", "images"), EIGHTY),
    "caltech101": Layout(split("caltech-101", "101_ObjectCategories", "Caltech101"), SEVEN),
    "oxford_pets": Layout(split("oxford_pets", "images", "OxfordPets"), ("a photo of a {}, a type of pet.",)),
    "stanford_cars": Layout(split("stanford_cars", "", "StanfordCars"), SEVEN),
    "oxford_flowers": Layout(split("oxford_flowers", "jpg", "OxfordFlowers"), ("a photo of a {}, a type of flower.",)),
    "food101": Layout(split("food-101", "images", "Food101"), ("a photo of {}, a type of food.",)),
    "fgvc_aircraft": Layout(aircraft, ("a photo of a {}, a type of aircraft.",)),
    "sun397": Layout(split("sun397", "SUN397", "SUN397"), SEVEN),
    "dtd": Layout(split("dtd", "images", "DescribableTextures"), ("{} texture.",)),
    "eurosat": Layout(split("eurosat", "2750", "EuroSAT"), ("a centered satellite photo of {}.",)),
    "ucf101": Layout(split("ucf101", "UCF-101-midframes", "UCF101"), ("a photo of a person doing {}.",)),
}
for _severity in range(1, 6):
    for _kind in CORRUPTIONS:
        LAYOUTS[f"imagenet_c/{_kind}/{_severity}"] = Layout(imagenet("imagenet-c", f"{_kind}/{_severity}"), SEVEN)
IMAGENET_C = tuple(name for name in LAYOUTS if name.startswith("imagenet_c/"))
IMAGENETS = tuple(name for name in LAYOUTS if name.startswith("imagenet") and name not in IMAGENET_C)
FINE_GRAINED = tuple(name for name in LAYOUTS if not name.startswith("imagenet"))


def read_standard(name: str, root: Path) -> PictureSet:
    """One of the papers' sets, under the single template. Raises ValueError that names the file which is missing."""
    try:
        made = LAYOUTS[name].read(root)
    except OSError as error:
        raise ValueError(
            f"{name}: {error.strerror}: {error.filename}; its layout is that of CoOp's DATASETS.md"
        ) from None
    return replace(made, name=name, names=make_distinct(made.names))
