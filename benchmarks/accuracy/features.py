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

from tta_service.clip.frozen import FrozenCLIP
from tta_service.core.catalogue import reducers
from tta_service.core.reducer import Reduction
from tta_service.images.look import look

from .cells import Cell
from .contenders import Contender
from .corruptions import corrupted
from .sets import PictureSet

AT_ONCE = 128  # rows in a forward
Tell = Callable[[int], None]  # so many more rows are encoded


@dataclass(frozen=True)
class Kitchen:
    """Where features are made and kept."""

    clip: FrozenCLIP
    sets: dict[str, PictureSet]
    folder: Path

    def rows(self, cell: Cell, augment: str, views: int, chosen: NDArray[np.int64], tell: Tell) -> NDArray[np.float32]:
        """Features [n, views, d] of the chosen pictures, from the file if they are there; what is new is added."""
        made = self.sets[cell.set]
        path = self.folder / self.clip.fingerprint[:12] / made.tag / f"{cell}-{augment}{views}.npz"
        kept = load(path)
        new = [int(i) for i in chosen if int(i) not in kept]
        for place, features in self._encoded(cell, augment, views, new, tell):
            kept[place] = features
        if new:
            save(path, kept)
        return np.stack([kept[int(i)] for i in chosen])

    def _encoded(
        self, cell: Cell, augment: str, views: int, wanted: list[int], tell: Tell
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        made, size = self.sets[cell.set], self.clip.image_size
        reduction = Reduction(reducers.build(*_named(cell.reducer)))
        guide = self._guide(made) if reduction.reducer.guided else None
        each = max(1, AT_ONCE // views)
        for start in range(0, len(wanted), each):
            some = wanted[start : start + each]
            seen = [look(changed(made, cell, i), size, views, i, augment).pixels for i in some]
            features = self.clip.encode_image(torch.cat(seen), reduction, guide)
            yield from zip(some, features.split(views))
            tell(len(features))

    def _guide(self, made: PictureSet) -> Tensor:
        from tta_service.core.labels import LabelSet

        return self.clip.text_space(LabelSet(made.names, made.templates)).features

    def seconds_a_row(self, cell: Cell, rounds: int = 5) -> float:
        """One forward's seconds by its rows, the best of some; decoding and cutting views not included."""
        pixels = torch.randint(256, (64, 3, self.clip.image_size, self.clip.image_size), dtype=torch.uint8)
        reduction = Reduction(reducers.build(*_named(cell.reducer)))
        guide = self._guide(self.sets[cell.set]) if reduction.reducer.guided else None
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            self.clip.encode_image(pixels, reduction, guide)
            taken.append(time.perf_counter() - began)
        return min(taken) / len(pixels)


def changed(made: PictureSet, cell: Cell, i: int) -> Tensor:
    """Picture i as the cell shows it, [3, h, w] uint8."""
    return corrupted(cell.shift, cell.severity, made.picture(i), i)


def wanted(contenders: tuple[Contender, ...]) -> dict[str, int]:
    """The most views of each augmentation that somebody asks for; who wants one view is content with any."""
    most: dict[str, int] = {}
    for one in contenders:
        needs = one.needs
        if needs.views > 1:
            most[needs.augment] = max(most.get(needs.augment, 0), needs.views)
    return most or {"crop": 1}


def load(path: Path) -> dict[int, NDArray[np.float32]]:
    if not path.exists():
        return {}
    with np.load(path) as held:
        return dict(zip(held["picture"].tolist(), held["features"]))


def save(path: Path, kept: dict[int, NDArray[np.float32]]) -> None:
    """At once or not at all: whoever is stopped loses only the cell that he was at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half.npz")
    np.savez(half, picture=np.array(list(kept)), features=np.stack([np.asarray(rows) for rows in kept.values()]))
    half.replace(path)


def _named(text: str) -> tuple[str, dict[str, object]]:
    """`tome` or `tome:keep=0.5` to name and parameters."""
    from .contenders import _value

    name, _, rest = text.partition(":")
    return name, {key: _value(value) for key, _, value in (part.partition("=") for part in rest.split(",") if part)}
