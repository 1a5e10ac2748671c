"""Data sets of torchvision by name, their test part."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from .pictures import PictureSet, of_pictures

SPLITS = ("test", "val", "valid")


def read_torchvision(name: str, root: Path) -> PictureSet:
    """A data set with one class a picture. What is not in `root` is downloaded where torchvision knows an address.

    Raises ValueError.
    """
    from torchvision import datasets  # imports torch for seconds

    kind = getattr(datasets, name, None)
    if name not in datasets.__all__ or not inspect.isclass(kind):
        raise ValueError(f"torchvision:{name}: torchvision has no data set of that name")
    try:
        made = _open(kind, root)
        labels = np.array(_labels(made), np.int64)
    except Exception as error:  # each set has errors of its own, and those of its downloads
        raise ValueError(f"torchvision:{name} in {root}: {' '.join(str(error).split())}") from None
    names = getattr(made, "classes", None) or getattr(made, "categories", None)
    names = names or [str(one) for one in range(int(labels.max(initial=0)) + 1)]
    plain = [one if isinstance(one, str) else ", ".join(one) for one in names]  # ImageNet's are tuples of synonyms
    return of_pictures(name, lambda i: made[i][0], labels, [one.split(",")[0] for one in plain])


def _open(kind: Any, root: Path) -> Any:
    parameters = inspect.signature(kind).parameters
    given: dict[str, Any] = {"root": str(root)} if "root" in parameters else {}
    if "train" in parameters:
        given["train"] = False
    if "download" not in parameters:
        return _first_split(kind, given, parameters)
    try:
        return _first_split(kind, given | {"download": False}, parameters)
    except (RuntimeError, FileNotFoundError):
        return _first_split(kind, given | {"download": True}, parameters)


def _first_split(kind: Any, given: dict[str, Any], parameters: Any) -> Any:
    if "split" not in parameters:
        return kind(**given)
    for split in SPLITS:
        try:
            return kind(**given, split=split)
        except ValueError:  # it has no such part
            continue
    return kind(**given)


def _labels(made: Any) -> list[int]:
    """Without decoding pictures, where the set has a list."""
    for key in ("targets", "labels", "_labels", "y"):
        found = getattr(made, key, ())
        if hasattr(found, "__len__") and 0 < len(found) == len(made):
            return [int(one) for one in found]
    labels = [made[i][1] for i in range(len(made))]
    if not all(isinstance(one, int | np.integer) or getattr(one, "ndim", 1) == 0 for one in labels[:1]):
        raise ValueError("its pictures do not have one class each")
    return [int(one) for one in labels]
