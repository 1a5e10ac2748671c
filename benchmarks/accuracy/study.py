"""The middle of every measurement: a set, a model, a service, features and runs in their folders."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from tta_client.v1 import tta_pb2 as pb

from .cells import Cell
from .contenders import Contender
from .features import FeatureExtractor, FeatureFiles, views_by_augmentation
from .replay import Take, play
from .runs import Run
from .sets import PictureSet

PLAIN = "plain"  # the one view that is no augmentation
Rows = Mapping[str, FeatureFiles]  # by augmentation, or PLAIN


@dataclass(frozen=True)
class Study:
    extractor: FeatureExtractor
    address: str
    folder: Path  # of the runs
    count: int  # pictures a cell
    count_views: int  # pictures a cell for those that look at several views, which cost as much as many pictures
    orders: int  # of the stream, for those that remember
    orders_of: Mapping[str, int]  # for some by name: fewer, where a frame is expensive
    streams: int

    def set(self, cell: Cell) -> PictureSet:
        return self.extractor.sets[cell.set]

    def chosen(self, cell: Cell) -> NDArray[np.int64]:
        return self.set(cell).chosen(self.count)

    def orders_for(self, one: Contender) -> int:
        """A strategy without memory answers the same in every order, so one stream is enough."""
        return min(self.orders, self.orders_of.get(one.strategy, self.orders)) if one.remembers else 1

    def pictures(self, cell: Cell, one: Contender, contenders: Sequence[Contender]) -> NDArray[np.int64]:
        """The first of the chosen ones: fewer for many views, and for the one-view form of a cache that has many."""
        beside = any(other.beside == one for other in contenders if other.needs.views > 1)
        return self.chosen(cell)[: self.count_views] if one.needs.views > 1 or beside else self.chosen(cell)

    def features(self, cell: Cell, contenders: tuple[Contender, ...]) -> Rows:
        chosen, most = self.chosen(cell), views_by_augmentation(contenders)
        rows = {PLAIN: self.extractor.rows(cell, "crop", 1, chosen, lambda n: None)}
        some = chosen[: self.count_views]
        return rows | {how: self.extractor.rows(cell, how, views, some, lambda n: None) for how, views in most.items()}

    def path(self, cell: Cell, one: Contender, stream: str) -> Path:
        """Holds all that the answers depend on."""
        made = self.set(cell)
        templates = hashlib.sha256("\n".join(made.templates).encode()).hexdigest()[:8]
        where = self.folder / self.extractor.clip.fingerprint[:12] / made.tag / f"{cell}-{templates}"
        return where / f"{one.strategy}-{one.digest}-{stream}.npz"

    def takes(self, cell: Cell, one: Contender, rows: Rows, contenders: Sequence[Contender]) -> list[Take]:
        """One stream for each order. The order of a number is the same for every contender, cell and shift."""
        chosen, labels = self.pictures(cell, one, contenders), self.set(cell).labels
        features, views, takes = features_of(one, rows), one.needs.views, []
        for number in range(self.orders_for(one)):
            order = np.random.default_rng(1000 + number).permutation(len(chosen))
            path = self.path(cell, one, f"{len(chosen)}-order{number}")
            picture = chosen[order]
            takes.append(Take(one, make_frame_reader(features, picture, views), picture, labels[picture], path))
        return takes

    def play(self, cell: Cell, takes: Sequence[Take], bar: tqdm) -> None:
        made = self.set(cell)
        labels = pb.LabelSet(names=made.names, templates=made.templates)
        asyncio.run(play(self.address, labels, self.extractor.clip.fingerprint, takes, self.streams, bar.update))

    def frames(self, cells: Sequence[Cell], contenders: Sequence[Contender]) -> int:
        return sum(
            len(self.pictures(cell, one, contenders)) * self.orders_for(one) for cell in cells for one in contenders
        )

    def played(
        self, cells: Sequence[Cell], contenders: tuple[Contender, ...]
    ) -> Iterator[tuple[Cell, dict[str, list[Run]]]]:
        """Cell by cell the answers of all contenders. The next cell is encoded while this one is replayed."""
        total = self.frames(cells, contenders)
        with ThreadPoolExecutor(1) as ahead, tqdm(total=total, unit="frame", smoothing=0.02) as bar:
            waiting = [ahead.submit(self.features, cells[0], contenders)] if cells else []
            for place, cell in enumerate(cells):
                bar.set_description(f"{cell.set} {cell.shown}")
                rows = _first(waiting).result()
                if place + 1 < len(cells):
                    waiting.append(ahead.submit(self.features, cells[place + 1], contenders))
                takes = {str(one): self.takes(cell, one, rows, contenders) for one in contenders}
                self.play(cell, [take for some in takes.values() for take in some], bar)
                yield cell, {name: [Run.load(take.path) for take in some] for name, some in takes.items()}


def features_of(one: Contender, rows: Rows) -> FeatureFiles:
    """Views of the kind it wants."""
    needs = one.needs
    return rows[needs.augment] if needs.views > 1 else rows[PLAIN]


def make_frame_reader(
    features: FeatureFiles, picture: NDArray[np.int64], views: int
) -> Callable[[int], NDArray[np.float32]]:
    return lambda frame: features.rows(int(picture[frame]), views)


def _first(waiting: list[Future[Rows]]) -> Future[Rows]:
    return waiting.pop(0)
