"""Pictures through the image tower, once: view features in files, to be replayed through the service.

The views are the service's own, view j of picture i drawn from (i, j), so a picture sent to the service with seed i
gives the same rows; `check.py` sends some to see that it is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service.clip.model import FrozenCLIP
from tta_service.core.catalogue import reducers
from tta_service.core.reducer import Reduction
from tta_service.images.views import look

from .cells import Cell
from .contenders import Contender, parse_value
from .corruptions import corrupt
from .sets import PictureSet

AT_ONCE = 128  # rows in a forward
SHARD = 100  # pictures in a file
Tell = Callable[[int], object]  # so many more rows are encoded


@dataclass(frozen=True)
class FeatureExtractor:
    """Where features are made and kept."""

    clip: FrozenCLIP
    sets: dict[str, PictureSet]
    folder: Path

    def rows(self, cell: Cell, augment: str, views: int, chosen: NDArray[np.int64], tell: Tell) -> FeatureFiles:
        """Features of the chosen pictures, `views` rows each; what is not stored yet is encoded and stored."""
        made = self.sets[cell.set]
        features = FeatureFiles(self.folder / self.clip.fingerprint[:12] / made.tag / f"{cell}-{augment}{views}")
        new = [int(i) for i in chosen if int(i) not in features]
        for start in range(0, len(new), SHARD):
            some = new[start : start + SHARD]
            features.add(some, np.stack(list(self._encode(cell, augment, views, some, tell))))
        return features

    def _encode(
        self, cell: Cell, augment: str, views: int, wanted: list[int], tell: Tell
    ) -> Iterator[NDArray[np.float32]]:
        made, size = self.sets[cell.set], self.clip.image_size
        reduction = Reduction(reducers.build(*_parse_reducer(cell.reducer)))
        guide = self._guide(made) if reduction.reducer.guided else None
        each = max(1, AT_ONCE // views)
        for start in range(0, len(wanted), each):
            some = wanted[start : start + each]
            seen = [look(change_picture(made, cell, i), size, views, i, augment).pixels for i in some]
            features = self.clip.encode_image(torch.cat(seen), reduction, guide)
            yield from features.numpy().reshape(len(some), views, -1)
            tell(len(features))

    def _guide(self, made: PictureSet) -> Tensor:
        from tta_service.core.labels import LabelSet

        return self.clip.text_space(LabelSet(made.names, made.templates)).features

    def seconds_a_row(self, cell: Cell, rounds: int = 5) -> float:
        """One forward's seconds by its rows, the best of some; decoding and cutting views not included."""
        pixels = torch.randint(256, (64, 3, self.clip.image_size, self.clip.image_size), dtype=torch.uint8)
        reduction = Reduction(reducers.build(*_parse_reducer(cell.reducer)))
        guide = self._guide(self.sets[cell.set]) if reduction.reducer.guided else None
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            self.clip.encode_image(pixels, reduction, guide)
            taken.append(time.perf_counter() - began)
        return min(taken) / len(pixels)


class FeatureFiles:
    """A folder of shards: rows of some pictures each, read from the disk when they are wanted.

    The index of a shard is written last, so an interrupted run loses only the shard that it was writing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._shards = folder, list[NDArray[np.float32]]()
        self._places: dict[int, tuple[int, int]] = {}
        for index in sorted(folder.glob("*.index.npy")):
            self._keep(np.load(index).tolist(), index.with_name(index.name.replace(".index", "")))

    def __contains__(self, picture: int) -> bool:
        return picture in self._places

    def rows(self, picture: int, views: int) -> NDArray[np.float32]:
        """[views, d], the plain view first. KeyError for a picture that is not here."""
        shard, place = self._places[picture]
        return np.asarray(self._shards[shard][place, :views])

    def add(self, pictures: list[int], features: NDArray[np.float32]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{len(self._shards):05d}.npy"
        np.save(path, features)
        np.save(path.with_suffix(".index.npy"), np.array(pictures))
        self._keep(pictures, path)

    def _keep(self, pictures: list[int], path: Path) -> None:
        self._places |= {picture: (len(self._shards), place) for place, picture in enumerate(pictures)}
        self._shards.append(np.load(path, mmap_mode="r"))


def change_picture(made: PictureSet, cell: Cell, i: int) -> Tensor:
    """Picture i as the cell shows it, [3, h, w] uint8."""
    return corrupt(cell.shift, cell.severity, made.picture(i), i)


def views_by_augmentation(contenders: tuple[Contender, ...]) -> dict[str, int]:
    """The most views of each augmentation that a contender asks for, among those that ask for several."""
    most: dict[str, int] = {}
    for one in contenders:
        needs = one.needs
        if needs.views > 1:
            most[needs.augment] = max(most.get(needs.augment, 0), needs.views)
    return most


def _parse_reducer(text: str) -> tuple[str, dict[str, object]]:
    """`tome` or `tome:keep=0.5` to name and parameters."""
    name, _, rest = text.partition(":")
    return name, {
        key: parse_value(value) for key, _, value in (part.partition("=") for part in rest.split(",") if part)
    }
