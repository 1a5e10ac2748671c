"""Which pictures: from a word on the command line to a set."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from .layouts import LAYOUTS, standard
from .sets import PLAIN, PictureSet, read_folders, read_packed

HELP = (
    "npz:FILE (or a pattern; packed JPEGs: blob, off, label, names), tail30:FILE (only the last 30 of each class, as "
    "the tune split is kept), folder:FOLDER (of class folders, in parts or not, or with a metadata file), or NAME:ROOT "
    f"with one of {', '.join(LAYOUTS)} and the folder of all sets in CoOp's layout"
)


def source(text: str, templates: str) -> PictureSet:
    """`templates`: "single" is "a photo of a {}." for all, "papers" what TDA's family uses. Raises ValueError."""
    kind, _, path = text.partition(":")
    if not path:
        raise ValueError(f"--data {text}: write it as KIND:PATH; KIND is {HELP}")
    if kind == "npz" or kind.startswith("tail"):
        last = int(kind.removeprefix("tail")) if kind.startswith("tail") else 0
        files = [Path(file) for file in sorted(glob(path))]
        return read_packed(files, f"{files[0].resolve().parent.name}/tune" if last and files else "", last)
    if kind == "folder":
        return read_folders(Path(path))
    if kind not in LAYOUTS:
        raise ValueError(f"--data {text}: there is no {kind!r}; KIND is {HELP}")
    return standard(kind, Path(path)).templated(LAYOUTS[kind].templates if templates == "papers" else PLAIN)
