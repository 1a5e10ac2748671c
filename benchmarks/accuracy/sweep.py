"""Every contender on every cell, in several orders: which pictures each looks at, and its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.features import views_by_augmentation
from tta_service.evaluate.replay import Take
from tta_service.evaluate.runs import Run
from tta_service.evaluate.study import PLAIN, Rows, Study, Tell, features_of, make_frame_reader


@dataclass(frozen=True)
class Sweep(Study):
    """A study that says how many pictures are looked at, and how often."""

    count: int  # pictures a cell
    count_views: int  # pictures a cell for those that look at several views, which cost as much as many pictures
    orders: int  # of the stream, for those that remember
    orders_of: Mapping[str, int] = field(default_factory=dict[str, int])  # fewer for some by name

    def choose(self, cell: Cell) -> NDArray[np.int64]:
        """The pictures that are looked at."""
        return self.set(cell).choose(self.count)

    def orders_for(self, one: Contender) -> int:
        """A strategy without memory answers the same in every order, so one stream is enough."""
        return min(self.orders, self.orders_of.get(one.strategy, self.orders)) if one.remembers else 1

    def pictures(self, cell: Cell, one: Contender, contenders: Sequence[Contender]) -> NDArray[np.int64]:
        """The first of the chosen ones: fewer for many views, and for the one-view form of a cache that has many."""
        beside = any(other.beside == one for other in contenders if other.needs.views > 1)
        return self.choose(cell)[: self.count_views] if one.needs.views > 1 or beside else self.choose(cell)

    def features(self, cell: Cell, contenders: tuple[Contender, ...]) -> Rows:
        """What the contenders look at, encoded if it is not there yet."""
        chosen, most = self.choose(cell), views_by_augmentation(contenders)
        rows = {PLAIN: self.extractor.rows(cell, "crop", 1, chosen, _ignore)}
        some = chosen[: self.count_views]
        return rows | {how: self.extractor.rows(cell, how, views, some, _ignore) for how, views in most.items()}

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

    def frames(self, cells: Sequence[Cell], contenders: Sequence[Contender]) -> int:
        """That `play_cells` will play."""
        return sum(
            len(self.pictures(cell, one, contenders)) * self.orders_for(one) for cell in cells for one in contenders
        )

    def play_cells(
        self, cells: Sequence[Cell], contenders: tuple[Contender, ...], done: Tell
    ) -> Iterator[tuple[Cell, dict[str, list[Run]]]]:
        """Cell by cell the answers of all contenders. The next cell is encoded while this one is replayed."""
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as ahead:
            waiting = [ahead.submit(self.features, cell, contenders) for cell in cells[:1]]
            for place, cell in enumerate(cells):
                rows = waiting.pop(0).result()
                waiting += [ahead.submit(self.features, after, contenders) for after in cells[place + 1 : place + 2]]
                takes = {str(one): self.takes(cell, one, rows, contenders) for one in contenders}
                self.play(cell, [take for some in takes.values() for take in some], done)
                yield cell, {name: [Run.load(take.path) for take in some] for name, some in takes.items()}


def _ignore(_: int) -> None:
    pass
