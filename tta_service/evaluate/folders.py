"""A folder of pictures as people keep it: class folders, parts such as train/ and test/, a file that lists labels.

It warns of what it cannot be sure of.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from ..clip.text.imagenet import is_wordnet_id
from .tables import FILE, LISTED, Listed, NoLabels, read_pairs, read_rows
from .wordnet import find_names

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
OTHERS = {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".ppm", ".tif", ".tiff"}  # not decoded
PARTS = ("test", "testing", "val", "valid", "validation", "dev", "eval", "train", "training")  # the first is best
log = logging.getLogger(__name__)


class Labelled(NamedTuple):
    files: list[Path]
    labels: list[int]  # of each file, places in `names`
    names: list[str]


def read_labels(root: Path) -> Labelled:
    """Every picture with its class, names in the order of the alphabet. Raises ValueError, OSError."""
    folder = _part(root)
    listed = _read_list(folder) or (_read_list(root, below=folder) if folder != root else None)
    if listed is None:
        listed, names = _read_class_folders(folder)
    else:
        names = sorted({name for _, name in listed})
    if odd := [name for name in names if name.lower() in PARTS]:
        log.warning("%s: %s may be no class but a part of the pictures", folder, ", ".join(odd))
    if len(names) == 1:
        log.warning("%s: all pictures are of one class, %s", folder, names[0])
    return _labelled(listed, names, folder, root)


def _read_class_folders(folder: Path) -> tuple[list[Listed], list[str]]:
    names = [inner.name for inner in _inner(folder)]
    listed = [(file, name) for name in names for file in _files(folder / name)]
    if loose := [file for file in find_pictures(folder) if file.parent == folder]:
        log.warning("%s: %d pictures outside of the class folders are left out", folder, len(loose))
    if other := [file for name in names for file in find_pictures(folder / name, OTHERS)]:
        log.warning("%s: %d files such as %s are no JPEG, PNG or WebP and left out", folder, len(other), other[0])
    if empty := sorted(set(names) - {name for _, name in listed}):
        log.warning("%s: there are no pictures of %s", folder, ", ".join(empty))
    return listed, names


def read_table(table: Path) -> Labelled:
    """Pictures and labels as a CSV, TSV or JSON Lines file lists them, paths from its folder on.

    Raises ValueError, OSError.
    """
    found = read_pairs(table)
    if found is None:
        heads_only = not read_rows(table) and table.stat().st_size
        missing = "is no row below the heads" if heads_only else f"is no column of pictures ({', '.join(FILE)})"
        raise ValueError(f"{table}: there {missing}")
    if not found:
        raise ValueError(f"{table}: none of the pictures that it lists is there; paths start from its folder")
    return _labelled(found, sorted({name for _, name in found}), table.parent)


def _labelled(listed: Sequence[Listed], names: list[str], *folders: Path) -> Labelled:
    places = {name: place for place, name in enumerate(names)}
    return Labelled([file for file, _ in listed], [places[name] for _, name in listed], _plain(names, *folders))


def _files(folder: Path) -> list[Path]:
    return [path for path in find_pictures(folder) if not path.is_dir()]


def find_pictures(folder: Path, suffixes: AbstractSet[str] = SUFFIXES) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in found if not path.name.startswith("."))


def _inner(folder: Path) -> list[Path]:
    """Its folders, without those that programs leave behind."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _part(root: Path) -> Path:
    """The folder of test pictures if there are parts, else the next best; the folder itself if there are none."""
    parts = [inner for inner in _inner(root) if inner.name.lower() in PARTS]
    if not parts or any(find_pictures(inner) for inner in _inner(root) if inner not in parts):
        return root
    parts.sort(key=lambda inner: PARTS.index(inner.name.lower()))
    part = next((one for one in parts if _is_labelled(one, root)), None)
    if part is None:
        names = ", ".join(one.name for one in parts)
        raise ValueError(f"{root}: neither class folders nor a file with labels in {names}")
    if len(parts) > 1:
        log.warning("%s: only the pictures in %s are taken, of %d parts", root, part.name, len(parts))
    return part


def _is_labelled(part: Path, root: Path) -> bool:
    """Whether it has class folders, or a file there or above lists its pictures."""
    held = {file for file, _ in _read_list(root) or ()}
    return len(_inner(part)) > 1 or bool(_read_list(part)) or not held.isdisjoint(find_pictures(part))


def _read_list(folder: Path, below: Path | None = None) -> list[Listed] | None:
    """Pictures (those `below` a folder in it) and their labels as a file beside them lists them; None: none does."""
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in LISTED and file.is_file()]
    for table in sorted(found, key=lambda file: file.stem != "metadata"):
        try:
            pairs = read_pairs(table)
        except NoLabels as error:
            if len(_inner(folder)) < 2:
                raise
            log.warning("%s; the folders' names are taken", error)
            return None
        if pairs is not None:
            return _warn_of_others(table, pairs, below)
    if (folder / "metadata.parquet").exists():
        raise ValueError(f"{folder}: metadata.parquet cannot be read; write it as metadata.csv")
    return None


def _warn_of_others(table: Path, pairs: list[Listed], below: Path | None) -> list[Listed]:
    if more := set(find_pictures(table.parent)) - {path for path, _ in pairs}:
        log.warning("%s: %d pictures are not listed and left out", table, len(more))
    return [(path, name) for path, name in pairs if below is None or below in path.parents]


def _plain(names: Sequence[str], *folders: Path) -> list[str]:
    """Words for WordNet ids."""
    ids = [name for name in names if is_wordnet_id(name)]
    known = find_names(ids, folders) if ids else {}
    if odd := [name for name in names if name.isdigit() or (is_wordnet_id(name) and name not in known)]:
        log.warning("%s: %s say nothing to a model; give plain names", folders[0], ", ".join(odd[:5]))
    return [known.get(name, name) for name in names]
