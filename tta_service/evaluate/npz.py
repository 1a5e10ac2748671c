"""Pictures in npz files: packed as the bytes of their files, or as arrays of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .pictures import PLAIN, PictureSet, distinct, of_pictures

IMAGES = ("images", "x", "test_images", "x_test", "data")  # MedMNIST's and Keras' names among them
LABELS = ("labels", "y", "test_labels", "y_test", "label", "targets")
NAMES = ("names", "label_names", "class_names", "classes")


def read_npz(files: Sequence[Path], name: str = "", last: int = 0) -> PictureSet:
    """npz files with `blob` (all JPEG bytes), `off` (n + 1 offsets), `label`, `names`, or one with arrays of pixels.

    `last`: only so many of each class, the last ones in the order of the files (a split set aside by its place).
    Raises ValueError, OSError.
    """
    if not files:
        raise ValueError("there is no npz file of that name")
    with _open(files[0]) as held:
        if "blob" not in held:
            return _read_arrays(files[0], held, name or files[0].stem)
    parts = [_read_part(path) for path in files]
    names, labelled = parts[-1].names, [part.labels for part in parts]
    places = [(part, i) for part, label in enumerate(labelled) for i in range(len(label))]
    labels = np.concatenate(labelled)
    if last:
        kept = np.sort(np.concatenate([np.flatnonzero(labels == one)[-last:] for one in np.unique(labels)]))
        places, labels = [places[i] for i in kept], labels[kept]
    check_classes(labels, names, str(files[0]))

    def file(i: int) -> bytes:
        part, place = places[i]
        off = parts[part].offsets
        return parts[part].blob[off[place] : off[place + 1]].tobytes()

    def where(i: int) -> str:
        part, place = places[i]
        return f"{files[part]}, picture {place}"

    name = name or f"{files[0].resolve().parent.name}/{files[0].stem}"
    return PictureSet(name, distinct(names), labels, file, PLAIN, where)


class Part(NamedTuple):
    """The files of one npz, one after the other, and their labels."""

    blob: NDArray[np.uint8]
    offsets: NDArray[np.int64]  # [n + 1]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


def _read_part(path: Path) -> Part:
    with _open(path) as held:
        if missing := {"blob", "off", "label", "names"} - set(held):
            raise ValueError(f"{path}: there is no array {', '.join(sorted(missing))}")
        names = tuple(str(one) for one in held["names"])
        return Part(held["blob"], held["off"], held["label"].astype(np.int64), names)


def check_classes(labels: NDArray[np.int64], names: Sequence[str], where: str) -> None:
    """Raises ValueError for a label without a name."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"{where}: labels go from {labels.min()} to {labels.max()}, and there are {len(names)} names")


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        held = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise ValueError(f"{path}: this is one array and no npz file")
    return held


def _read_arrays(path: Path, held: Mapping[str, NDArray[Any]], name: str) -> PictureSet:
    pixels, label, words = (next((key for key in keys if key in held), None) for keys in (IMAGES, LABELS, NAMES))
    if pixels is None or label is None:
        wanted = f"pictures ({', '.join(IMAGES)}) and labels ({', '.join(LABELS)}), or a packed blob"
        raise ValueError(f"{path}: it has {', '.join(held) or 'nothing'}, and is to have arrays of {wanted}")
    pictures, labels = held[pixels], held[label].astype(np.int64).reshape(-1)
    _check_pixels(pictures, f"{path}: {pixels}")
    if len(pictures) != len(labels):
        raise ValueError(f"{path}: there are {len(pictures)} {pixels} and {len(labels)} {label}")
    names = held[words] if words else range(int(labels.max(initial=0)) + 1)
    check_classes(labels, found := [str(one) for one in names], str(path))
    return of_pictures(name, pictures.__getitem__, labels, found)


def _check_pixels(pictures: NDArray[Any], where: str) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or pictures.shape[3:] not in ((), (3,), (4,)):
        given = f"{pictures.dtype} {list(pictures.shape)}"
        raise ValueError(f"{where} is to be uint8 [n, h, w] or [n, h, w, 3], not {given}")
