"""The real photographs that scikit-image and scikit-learn carry inside their wheels, and what they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

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
"""What the photographs show, and some things that they do not."""


@dataclass(frozen=True, slots=True)
class Photograph:
    path: Path
    label: str


def photographs() -> list[Photograph]:
    """All that are installed here, always in the same order. Raises FileNotFoundError when there are none."""
    found = [*_in("skimage", "data", SKIMAGE), *_in("sklearn", "datasets/images", SKLEARN)]
    if not found:
        raise FileNotFoundError(
            "the virtual camera needs scikit-image or scikit-learn: pip install 'tta-client[virtual]'"
        )
    return found


def _in(package: str, folder: str, names: dict[str, str]) -> Iterator[Photograph]:
    spec = find_spec(package)  # the folder is enough: importing these takes seconds
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for name, label in names.items():
            if (path := Path(place) / folder / name).is_file():
                yield Photograph(path, label)
