"""Names of classes that are called by their WordNet ids, as ImageNet's and its relatives' are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from open_clip import IMAGENET_CLASSNAMES
from timm.data import ImageNetInfo

LISTS = ("classnames.txt", "words.txt", "LOC_synset_mapping.txt")  # CoOp's, Tiny ImageNet's, Kaggle's


def is_id(name: str) -> bool:
    return re.fullmatch(r"n\d{8}", name) is not None


def by_id(folder: Path) -> dict[str, str]:
    """WordNet id to name, in the order of the classes: as listed in the folder, else open_clip's names of ImageNet."""
    return _read_list(folder) or dict(zip(ImageNetInfo().label_names(), IMAGENET_CLASSNAMES))


def names_of(ids: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """Names of those ids that are listed in a folder, or that ImageNet or the larger ImageNet-22k knows."""
    known = dict(zip(ImageNetInfo().label_names(), IMAGENET_CLASSNAMES))
    for folder in reversed(folders):
        known |= _read_list(folder)
    wider = ImageNetInfo("imagenet-22k")
    more = {id: wider.label_name_to_description(id).split(",")[0] for id in wider.label_names()}
    return {id: name for id in ids if (name := known.get(id) or more.get(id))}


def _read_list(folder: Path) -> dict[str, str]:
    for file in (folder / name for name in LISTS):
        if file.exists():
            pairs = [line.strip().split(maxsplit=1) for line in file.read_text("utf-8-sig").splitlines()]
            plain = file.name == LISTS[0]  # the others list synonyms
            return {id: name if plain else name.split(",")[0] for id, name in (one for one in pairs if len(one) == 2)}
    return {}
