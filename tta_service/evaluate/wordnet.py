"""Words for classes that are called by their WordNet ids: as the data list them, else as ImageNet has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..clip.text.imagenet import imagenet_names, wordnet_names
from .tables import read_text

LISTS = ("classnames.txt", "words.txt", "LOC_synset_mapping.txt")  # CoOp's, Tiny ImageNet's, Kaggle's


def read_class_names(folder: Path) -> dict[str, str]:
    """WordNet id to name, in the order of the classes: as listed in the folder, else open_clip's names of ImageNet.

    Raises ValueError, OSError for a list that cannot be read.
    """
    return _read_list(folder) or imagenet_names()


def find_names(ids: Iterable[str], folders: Sequence[Path]) -> dict[str, str]:
    """Names of those ids that are listed in a folder, or that ImageNet or the larger ImageNet-22k knows.

    Raises ValueError, OSError for a list that cannot be read.
    """
    known = dict(wordnet_names())
    for folder in reversed(folders):
        known |= _read_list(folder)
    return {id: known[id] for id in ids if known.get(id)}


def _read_list(folder: Path) -> dict[str, str]:
    for file in (folder / name for name in LISTS):
        if file.exists():
            pairs = [line.strip().split(maxsplit=1) for line in read_text(file).splitlines()]
            plain = file.name == LISTS[0]  # the others list synonyms
            return {id: name if plain else name.split(",")[0] for id, name in (one for one in pairs if len(one) == 2)}
    return {}
