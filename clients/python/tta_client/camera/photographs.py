"""The photographs that scikit-image and scikit-learn ship in their wheels, with a label for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .extras import describe_missing

SKIMAGE = {
    "chelsea.png": "cat",
    "astronaut.png": "astronaut",
    "coffee.png": "coffee cup",
    "rocket.jpg": "rocket",
    "motorcycle_left.png": "motorcycle",
    "camera.png": "photographer",
    "coins.png": "coins",
}
SKLEARN = {"flower.jpg": "flower", "china.jpg": "temple"}
LABELS = (*SKIMAGE.values(), *SKLEARN.values(), "dog", "car", "street", "forest")
"""The photographs' labels, and some that fit none of them."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph on disk, and what it shows."""

    path: Path
    label: str


def find_photographs() -> list[Photograph]:
    """All photographs that are installed, in a fixed order. Raises FileNotFoundError if there are none."""
    photographs = [*_find_in("skimage", "data", SKIMAGE), *_find_in("sklearn", "datasets/images", SKLEARN)]
    if not photographs:
        raise FileNotFoundError(describe_missing("scikit-image or scikit-learn", "the virtual camera", "virtual"))
    return photographs


def _find_in(package: str, folder: str, names: dict[str, str]) -> Iterator[Photograph]:
    spec = find_spec(package)  # the path is enough: importing the package takes seconds
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for name, label in names.items():
            if (path := Path(place) / folder / name).is_file():
                yield Photograph(path, label)
