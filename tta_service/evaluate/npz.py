"""Pictures in npz files: packed as the bytes of their files, or as arrays of pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .pictures import PLAIN, PictureSet, make_distinct, of_pictures

IMAGES = ("images", "x", "test_images", "x_test", "data")  # MedMNIST's and Keras' names among them
LABELS = ("labels", "y", "test_labels", "y_test", "label", "targets")
DAMAGED = ValueError, EOFError, BadZipFile, zlib.error, NotImplementedError, struct.error  # what a bad file raises
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
    return PictureSet(name, make_distinct(names), labels, file, PLAIN, where)


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
        blob, off = _array(path, held, "blob"), _array(path, held, "off")
        labels, names = _read_classes(path, held, "label", "names")
    if blob.dtype != np.uint8 or blob.ndim != 1:
        raise ValueError(f"{path}: blob is to be uint8 [bytes], not {blob.dtype} {list(blob.shape)}")
    whole = off.dtype.kind in "iu" and off.shape == (len(labels) + 1,)
    if not whole or off[0] < 0 or off[-1] > len(blob) or (off[:-1] > off[1:]).any():
        raise ValueError(
            f"{path}: off is to be {len(labels) + 1} rising places in blob, one more than there are labels"
        )
    return Part(blob, off, labels, tuple(names))


def _read_classes(
    path: Path, held: Mapping[str, Any], label: str, words: str | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Labels [n] and the names that they are places of; labels may be the names themselves. Raises ValueError."""
    labels, names = _array(path, held, label), words and [str(one) for one in _array(path, held, words).reshape(-1)]
    where = f"{path}: {label}"
    if labels.shape[1:] not in ((), (1,)) or labels.ndim == 0 or labels.dtype.kind not in "biufUS":
        raise ValueError(f"{where} is to be [n], whole numbers or names, not {labels.dtype} {list(labels.shape)}")
    labels = labels.reshape(-1)
    if labels.dtype.kind in "US":
        return _find_places(labels.astype(str).tolist(), names, f"{where} has", str(words))
    if labels.dtype.kind == "f" and (odd := labels[~(np.isfinite(labels) & (labels == np.round(labels)))]).size:
        raise ValueError(f"{where} is to hold whole numbers, not {odd[0]}")
    labels = labels.astype(np.int64)
    names = names or [str(one) for one in range(int(labels.max(initial=0)) + 1)]
    check_classes(labels, names, str(path))
    return labels, names


def _find_places(
    given: list[str], names: Sequence[str] | None, where: str, words: str
) -> tuple[NDArray[np.int64], list[str]]:
    found = list(names or sorted(set(given)))
    if unknown := set(given) - set(found):
        raise ValueError(f"{where} {min(unknown)!r}, which is not in {words}")
    places = {name: place for place, name in enumerate(found)}
    return np.array([places[one] for one in given], np.int64), found


def check_classes(labels: NDArray[np.int64], names: Sequence[str], where: str) -> None:
    """Raises ValueError for a label without a name."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"{where}: labels go from {labels.min()} to {labels.max()}, and there are {len(names)} names")


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        held = np.load(path, allow_pickle=False)
    except DAMAGED:
        raise ValueError(f"{path}: this is no npz file, or a damaged one") from None
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise ValueError(f"{path}: this is one array and no npz file")
    return held


def _array(path: Path, held: Mapping[str, Any], name: str) -> NDArray[Any]:
    try:
        return np.asarray(held[name])
    except DAMAGED:
        raise ValueError(f"{path}: {name} is damaged, or holds Python objects instead of numbers or words") from None


def _read_arrays(path: Path, held: Mapping[str, NDArray[Any]], name: str) -> PictureSet:
    pixels, label, words = (next((key for key in keys if key in held), None) for keys in (IMAGES, LABELS, NAMES))
    if pixels is None or label is None:
        wanted = f"pictures ({', '.join(IMAGES)}) and labels ({', '.join(LABELS)}), or a packed blob"
        raise ValueError(f"{path}: it has {', '.join(held) or 'nothing'}, and is to have arrays of {wanted}")
    pictures, (labels, found) = _array(path, held, pixels), _read_classes(path, held, label, words)
    _check_pixels(pictures, f"{path}: {pixels}")
    if len(pictures) != len(labels):
        raise ValueError(f"{path}: there are {len(pictures)} {pixels} and {len(labels)} {label}")
    return of_pictures(name, pictures.__getitem__, labels, found)


def _check_pixels(pictures: NDArray[Any], where: str) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or pictures.shape[3:] not in ((), (3,), (4,)):
        given = f"{pictures.dtype} {list(pictures.shape)}"
        raise ValueError(f"{where} is to be uint8 [n, h, w] or [n, h, w, 3], not {given}")
