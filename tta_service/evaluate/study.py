"""The middle of every measurement: a set, a model, an engine, features and runs in their folders."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..app.parts import Runtime
from ..app.runtime import build_runtime
from ..clip.model import FrozenCLIP
from ..core.labels import LabelSet
from ..core.request import Report, Request
from ..settings import Settings
from .cells import Cell
from .contenders import Contender
from .features import FeatureExtractor, FeatureFiles, views_by_augmentation
from .pictures import PictureSet
from .replay import Take, play
from .runs import Run

PLAIN = "plain"  # the one view that is no augmentation
Rows = Mapping[str, FeatureFiles]  # by augmentation, or PLAIN
Tell = Callable[[int], object]  # so many more frames or rows are done


@dataclass(frozen=True)
class Player:
    """A running engine for callers without asyncio. Raises what the engine raises."""

    runner: asyncio.Runner
    runtime: Runtime
    streams: int  # at a time

    def classify(self, request: Request) -> Report:
        """The engine's answer."""
        return self.runner.run(self.runtime.engine.classify(request))

    def play(self, labels: LabelSet, takes: Sequence[Take], done: Tell) -> None:
        """Plays and keeps what is not kept yet."""
        self.runner.run(play(self.runtime, labels, takes, self.streams, done))


@contextmanager
def open_player(settings: Settings, streams: int, clip: FrozenCLIP | None = None) -> Iterator[Player]:
    """An engine that ends with the block, with that model or the one of the settings. Raises `CannotLoad`."""
    with asyncio.Runner() as runner, _quiet_sessions():
        context = build_runtime(settings, clip)
        runtime = runner.run(context.__aenter__())
        try:
            yield Player(runner, runtime, streams)
        finally:
            runner.run(context.__aexit__(None, None, None))


@contextmanager
def _quiet_sessions() -> Iterator[None]:
    """Warnings about single sessions are for operators; here each stream is one, whose worth the table says."""
    log = logging.getLogger("tta_service.serving.sessions")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@dataclass(frozen=True)
class Study:
    """Which pictures are looked at, how often, and where the answers are kept."""

    extractor: FeatureExtractor
    player: Player
    folder: Path  # of the runs
    count: int  # pictures a cell
    count_views: int  # pictures a cell for those that look at several views, which cost as much as many pictures
    orders: int  # of the stream, for those that remember
    orders_of: Mapping[str, int] = field(default_factory=dict[str, int])  # fewer for some by name

    def set(self, cell: Cell) -> PictureSet:
        """The pictures of a cell."""
        return self.extractor.sets[cell.set]

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

    def path(self, cell: Cell, one: Contender, stream: str) -> Path:
        """Holds all that the answers depend on beside the pictures themselves."""
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

    def play(self, cell: Cell, takes: Sequence[Take], done: Tell) -> None:
        """Plays what is not kept yet under the names and templates of the cell's set."""
        made = self.set(cell)
        self.player.play(LabelSet(made.names, made.templates), takes, done)

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


def features_of(one: Contender, rows: Rows) -> FeatureFiles:
    """Views of the kind it wants."""
    needs = one.needs
    return rows[needs.augment] if needs.views > 1 else rows[PLAIN]


def make_frame_reader(
    features: FeatureFiles, picture: NDArray[np.int64], views: int
) -> Callable[[int], NDArray[np.float32]]:
    """A function from a frame to the first of its picture's views."""
    return lambda frame: features.rows(int(picture[frame]), views)


def _ignore(_: int) -> None:
    pass
