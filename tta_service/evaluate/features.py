"""Pictures through the image tower, once: view features in files by what the pictures hold, to be replayed.

The views are the service's own, view j of picture i drawn from (i, j), so a picture sent to the service with seed i
gives the same rows; `check.py` sends some to see that it is so.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..clip.model import FrozenCLIP
from ..core.catalogue import reducers
from ..core.errors import BadImage
from ..core.labels import LabelSet
from ..core.reducer import Reduction
from ..core.request import Encoded
from ..images.views import look
from .cells import Cell
from .contenders import Contender, parse_reducer
from .corruptions import corrupt
from .pictures import PictureSet, decode_whole

AT_ONCE = 128  # rows in a forward
SHARD = 100  # pictures in a file
Tell = Callable[[int], object]  # so many more rows are encoded


@dataclass(frozen=True)
class FeatureExtractor:
    """Where features are made and kept. `unreadable` gathers pictures that cannot be decoded, with the reasons."""

    clip: FrozenCLIP
    sets: dict[str, PictureSet]
    folder: Path
    seed: int = 0
    decoders: int = 1
    decode: Callable[[Encoded], Tensor] = decode_whole  # of pictures without a shift
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])

    def rows(self, cell: Cell, augment: str, views: int, chosen: NDArray[np.int64], tell: Tell) -> FeatureFiles:
        """Features of the chosen pictures, `views` rows each; what is not stored yet is encoded and stored.

        Those that cannot be read are not among them. Raises ValueError for one that is too small for its shift.
        """
        made = self.sets[cell.set]
        guide = self._guide(made) if self._reduction(cell).reducer.guided else None
        kind = f"{cell}-{augment}{views}" + ("" if guide is None else f"-{_digest(guide.numpy().tobytes())}")
        random = views > 1 or cell.shift != "none"

        def key(i: int) -> str:  # a plain view does not depend on the picture's place
            return f"{made.digest(i)}-{i + SEEDS * self.seed}" if random else made.digest(i)

        features = FeatureFiles(self.folder / self.clip.fingerprint[:12] / kind, key)
        new = [i for i in map(int, chosen) if self._is_readable(cell, i) and i not in features]
        for start in range(0, len(new), SHARD):
            found = dict(self._encode(cell, augment, views, new[start : start + SHARD], guide, tell))
            if found:
                features.add(list(found), np.stack(list(found.values())))
        tell(views * (len(chosen) - len(new)))
        return features

    def picture_views(self, cell: Cell, i: int, views: int, augment: str) -> Tensor:
        """[views, 3, s, s] uint8: what the tower sees of picture i. Raises `BadImage`, OSError, ValueError."""
        made = self.sets[cell.set]
        plain = cell.shift == "none"
        seen = self.decode(Encoded(made.file(i))) if plain else change_picture(made, cell, i, self.seed)
        return look(seen, self.clip.image_size, views, i + SEEDS * self.seed, augment).pixels

    def seconds_a_row(self, cell: Cell, rounds: int = 5) -> float:
        """One forward's seconds by its rows, the best of some; decoding and cutting views not included."""
        pixels = torch.randint(256, (64, 3, self.clip.image_size, self.clip.image_size), dtype=torch.uint8)
        reduction = self._reduction(cell)
        guide = self._guide(self.sets[cell.set]) if reduction.reducer.guided else None
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            self.clip.encode_image(pixels, reduction, guide)
            taken.append(time.perf_counter() - began)
        return min(taken) / len(pixels)

    def _is_readable(self, cell: Cell, i: int) -> bool:
        try:
            if (cell.set, i) not in self.unreadable:
                self.sets[cell.set].digest(i)
        except OSError as error:
            self.unreadable[cell.set, i] = error.strerror or str(error)
        return (cell.set, i) not in self.unreadable

    def _encode(
        self, cell: Cell, augment: str, views: int, wanted: list[int], guide: Tensor | None, tell: Tell
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        reduction, each = self._reduction(cell), max(1, AT_ONCE // views)

        def cut(i: int) -> Tensor | None:
            try:
                return self.picture_views(cell, i, views, augment)
            except (BadImage, OSError) as error:
                self.unreadable[cell.set, i] = str(error)
                return None

        groups = [wanted[start : start + each] for start in range(0, len(wanted), each)]
        with ThreadPoolExecutor(self.decoders) as pool:  # the next group is cut while one is encoded
            ahead = [[pool.submit(cut, i) for i in group] for group in groups[:1]]
            for place, group in enumerate(groups):
                ahead += [[pool.submit(cut, i) for i in after] for after in groups[place + 1 : place + 2]]
                seen = {i: one.result() for i, one in zip(group, ahead.pop(0))}
                found = {i: pixels for i, pixels in seen.items() if pixels is not None}
                if found:
                    features = self.clip.encode_image(torch.cat(list(found.values())), reduction, guide)
                    yield from zip(found, features.float().cpu().numpy().reshape(len(found), views, -1))
                tell(views * len(group))

    def _guide(self, made: PictureSet) -> Tensor:
        return self.clip.text_space(LabelSet(made.names, made.templates)).features

    @staticmethod
    def _reduction(cell: Cell) -> Reduction:
        return Reduction(reducers.build(*parse_reducer(cell.reducer)))


SEEDS = 1_000_003  # between the seeds of two evaluations: more than a set has pictures


class FeatureFiles:
    """A folder of shards: rows of some pictures each, read from the disk when they are wanted.

    `key(i)` is what picture i holds, so sets may share a folder, and a picture that changed is encoded again. The index
    of a shard is written last, so an interrupted run loses only the shard that it was writing.
    """

    def __init__(self, folder: Path, key: Callable[[int], str]) -> None:
        self._folder, self._key, self._shards = folder, key, list[NDArray[np.float32]]()
        self._places: dict[str, tuple[int, int]] = {}
        for index in sorted(folder.glob("*.json")):
            with suppress(OSError, ValueError, TypeError, EOFError):  # what is damaged is made anew
                self._keep(json.loads(index.read_text()), index.with_suffix(".npy"))

    def __contains__(self, picture: int) -> bool:
        return self._key(picture) in self._places

    def rows(self, picture: int, views: int) -> NDArray[np.float32]:
        """[views, d], the plain view first. KeyError for a picture that is not here."""
        shard, place = self._places[self._key(picture)]
        return np.asarray(self._shards[shard][place, :views])

    def add(self, pictures: list[int], features: NDArray[np.float32]) -> None:
        """Store features [n, v, d] of these pictures."""
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = [self._key(i) for i in pictures]
        path = self._folder / f"{_digest(' '.join(keys).encode())}.npy"
        np.save(path, features)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(keys))
        partial.replace(path.with_suffix(".json"))
        self._keep(keys, path)

    def _keep(self, keys: list[str], path: Path) -> None:
        shard = np.load(path, mmap_mode="r")
        if shard.shape[:1] != (len(keys),) or shard.ndim != 3:
            raise ValueError(f"{path}: {list(shard.shape)} for {len(keys)} pictures")
        self._places |= {key: (len(self._shards), place) for place, key in enumerate(keys)}
        self._shards.append(shard)


def change_picture(made: PictureSet, cell: Cell, i: int, seed: int = 0) -> Tensor:
    """Picture i as the cell shows it, [3, h, w] uint8. Raises ValueError for one that is too small."""
    try:
        return corrupt(cell.shift, cell.severity, made.picture(i), i + SEEDS * seed)
    except ValueError as error:
        raise ValueError(f"{made.where(i)}: {error}") from None


def views_by_augmentation(contenders: tuple[Contender, ...]) -> dict[str, int]:
    """The most views of each augmentation that a contender asks for, among those that ask for several."""
    most: dict[str, int] = {}
    for one in contenders:
        needs = one.needs
        if needs.views > 1:
            most[needs.augment] = max(most.get(needs.augment, 0), needs.views)
    return most


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
