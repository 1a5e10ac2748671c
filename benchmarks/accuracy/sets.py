"""Pictures with labels: a folder of class folders, or a packed npz. Files are read when they are wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tta_service.core.request import Encoded
from tta_service.images.decode import decode
from tta_service.images.limits import ImageLimits

from .labelled import SUFFIXES, read_labels

PLAIN = ("a photo of a {}.",)
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=200_000_000, max_side=65_535)


@dataclass(frozen=True)
class PictureSet:
    """`file(i)` gives the bytes of picture i as they lie on the disk."""

    name: str
    names: tuple[str, ...]  # of the classes, distinct
    labels: NDArray[np.int64]  # [n]
    file: Callable[[int], bytes]
    templates: tuple[str, ...] = PLAIN

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, i: int) -> Tensor:
        """[3, h, w] uint8, decoded as the service does."""
        return decode(Encoded(self.file(i)), LIMITS)

    def templated(self, templates: Sequence[str]) -> PictureSet:
        return replace(self, templates=tuple(templates))

    @property
    def tag(self) -> str:
        """A name for a folder: two sets of the same name and other pictures must not share features."""
        whole = repr((self.names, self.labels.tobytes()))
        return f"{self.name.replace('/', '-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"

    def chosen(self, count: int, seed: int = 0) -> NDArray[np.int64]:
        """The first `count` of a seeded order of all pictures: a larger choice begins with a smaller one."""
        return np.random.default_rng(seed).permutation(len(self))[:count]


def of_files(name: str, files: Sequence[Path], labels: Iterable[int], names: Sequence[str]) -> PictureSet:
    """Raises ValueError when there is nothing in it."""
    if not files:
        raise ValueError(f"{name}: there are no pictures ({', '.join(sorted(SUFFIXES))})")
    return PictureSet(name, distinct(names), np.fromiter(labels, np.int64, len(files)), lambda i: files[i].read_bytes())


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names with blanks for underscores; a name that comes again gets a blank behind it.

    ImageNet's list has two `missile` and two `sunglasses`, and the papers keep both columns. A label set refuses equal
    names; the blank is gone when the tokenizer has tidied the sentence up.
    """
    found: list[str] = []
    for name in names:
        name = name.replace("_", " ").strip()
        while name in found:
            name += " "
        found.append(name)
    return tuple(found)


def read_folders(root: Path, name: str = "") -> PictureSet:
    """One folder for each class, or what else `read_labels` reads. Raises ValueError, OSError."""
    files, labels, names = read_labels(root)
    return of_files(name or root.name, files, labels, names)


def read_packed(files: Sequence[Path], name: str = "", last: int = 0) -> PictureSet:
    """npz files with `blob` (all JPEG bytes), `off` (n + 1 offsets), `label`, `names`.

    `last`: only so many of each class, the last ones in the order of the files (a split set aside by its place).
    """
    if not files:
        raise ValueError("there is no npz file of that name")
    parts, names = [], ()
    for path in files:
        with np.load(path, allow_pickle=False) as held:
            parts.append((held["blob"], held["off"], held["label"].astype(np.int64)))
            names = tuple(str(one) for one in held["names"])
    places = [(part, i) for part, (_, _, label) in enumerate(parts) for i in range(len(label))]
    labels = np.concatenate([label for _, _, label in parts])
    if last:
        kept = np.sort(np.concatenate([np.flatnonzero(labels == one)[-last:] for one in np.unique(labels)]))
        places, labels = [places[i] for i in kept], labels[kept]

    def file(i: int) -> bytes:
        part, place = places[i]
        blob, off, _ = parts[part]
        return blob[off[place] : off[place + 1]].tobytes()

    return PictureSet(name or f"{files[0].resolve().parent.name}/{files[0].stem}", distinct(names), labels, file)
