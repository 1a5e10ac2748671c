"""Which pictures: from a word on the command line to a set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path

import numpy as np

from ..core.errors import BadRequest
from .folders import read_labels, read_table
from .layouts import CORRUPTIONS, IMAGENET_C, LAYOUTS, read_standard
from .npz import read_npz
from .pictures import PLAIN, PictureSet, of_labelled
from .tables import LISTED
from .torchvision_sets import read_torchvision

NAMES = ", ".join([*(name for name in LAYOUTS if name not in IMAGENET_C), "imagenet_c/KIND/SEVERITY"])
HELP = (
    "npz:FILE (or a pattern; packed JPEGs: blob, off, label, names), tail30:FILE (only the last 30 of each class, as "
    "the tune split is kept), folder:FOLDER (of class folders, in parts or not, or with a metadata file), or NAME:ROOT "
    f"with one of {NAMES} and the folder of all sets in CoOp's layout"
)
FORMS = (
    "a folder of class folders or with a metadata file, a CSV with paths and labels, an npz file, torchvision:NAME, or "
    f"NAME:ROOT with one of {NAMES}"
)
TAIL = re.compile("tail[0-9]+")
SETS = Path("torchvision")  # below the cache: where torchvision's downloads go


def read_source(text: str, templates: str) -> PictureSet:
    """`templates`: "single" is "a photo of a {}." for all, "papers" what TDA's family uses. Raises ValueError."""
    kind, _, path = text.partition(":")
    if not path:
        raise ValueError(f"--data {text}: write it as KIND:PATH; KIND is {HELP}")
    if kind == "npz" or TAIL.fullmatch(kind):
        last = int(kind.removeprefix("tail")) if kind.startswith("tail") else 0
        files = [Path(file) for file in sorted(glob(path))]
        return read_npz(files, f"{files[0].resolve().parent.name}/tune" if last and files else "", last)
    if kind == "folder":
        return read_folders(Path(path))
    if kind not in LAYOUTS:
        raise ValueError(f"--data {text}: there is no {kind!r}; KIND is {HELP}")
    return read_standard(kind, Path(path)).with_templates(LAYOUTS[kind].templates if templates == "papers" else PLAIN)


def read_folders(root: Path, name: str = "") -> PictureSet:
    """One folder for each class, or what else `read_labels` reads. Raises ValueError, OSError."""
    return of_labelled(name or root.resolve().name, read_labels(root))


def read_data(text: str, cache: Path, labels: Sequence[str] = ()) -> PictureSet:
    """The pictures that a person means: `FORMS`. `labels` are other names of the classes, see `rename_classes`.

    Raises `BadRequest`.
    """
    try:
        return rename_classes(_read(text, cache), labels) if labels else _read(text, cache)
    except (ValueError, OSError) as error:
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        raise BadRequest(str(message), "data") from error


def _read(text: str, cache: Path) -> PictureSet:
    path, (kind, _, rest) = Path(text), text.partition(":")
    if path.exists():
        return _read_path(path)
    if kind == "torchvision":
        name, _, root = rest.partition(":")
        return read_torchvision(name, Path(root) if root else cache / SETS)
    if rest and (kind in LAYOUTS or kind in ("npz", "folder") or TAIL.fullmatch(kind)):
        return read_source(text, "single")
    if kind.startswith("imagenet_c/"):
        raise ValueError(f"{kind}: write imagenet_c/KIND/SEVERITY, a KIND of {', '.join(CORRUPTIONS)}, SEVERITY 1 to 5")
    raise ValueError(f"{text}: there is no such file or folder; DATA is {FORMS}")


def _read_path(path: Path) -> PictureSet:
    if path.is_dir():
        return read_folders(path)
    if path.suffix.lower() == ".npz":
        return read_npz([path])
    if path.suffix.lower() in LISTED:
        return of_labelled(path.stem, read_table(path))
    raise ValueError(f"{path}: this is no data set; DATA is {FORMS}")


def rename_classes(made: PictureSet, labels: Sequence[str]) -> PictureSet:
    """The set under other names: those that are spelt alike are matched; where none is, names stand in the order of the
    classes.

    There may be more names than classes, which then differ too. Raises ValueError.
    """
    if twice := [name for name, count in Counter(labels).items() if count > 1]:
        raise ValueError(f"--labels: {twice[0]!r} is there more than once")
    places = {plain_name(name): place for place, name in enumerate(labels)}
    matched = [places.get(plain_name(name)) for name in made.names]
    if not any(place is not None for place in matched) and len(labels) == len(made.names):
        return replace(made, names=tuple(labels))
    if lost := [name for name, place in zip(made.names, matched) if place is None]:
        count = f"{len(lost)} of the pictures' {len(made.names)} classes"
        raise ValueError(f"--labels: there is no name for {count}, such as {lost[0]!r}")
    return replace(made, names=tuple(labels), labels=np.array(matched, np.int64)[made.labels])


def plain_name(name: str) -> str:
    """A name as a folder may spell it."""
    return name.casefold().replace("_", " ").replace("-", " ").strip()
