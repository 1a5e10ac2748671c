"""The middle of every measurement: a set, a model, an engine, features and runs in their folders."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..app.parts import Runtime
from ..app.runtime import build_runtime
from ..clip.model import FrozenCLIP
from ..core.labels import LabelSet
from ..core.request import Report, Request
from ..settings import Settings
from .cells import Cell
from .contenders import Contender
from .features import FeatureExtractor, FeatureFiles
from .pictures import PictureSet
from .replay import Take, play

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
    """Sets, a model, an engine, and the folder of the answers."""

    extractor: FeatureExtractor
    player: Player
    folder: Path  # of the runs

    def set(self, cell: Cell) -> PictureSet:
        """The pictures of a cell."""
        return self.extractor.sets[cell.set]

    def path(self, cell: Cell, one: Contender, stream: str) -> Path:
        """Holds all that the answers depend on beside the pictures themselves."""
        made = self.set(cell)
        templates = hashlib.sha256("\n".join(made.templates).encode()).hexdigest()[:8]
        where = self.folder / self.extractor.clip.fingerprint[:12] / made.tag / f"{cell}-{templates}"
        return where / f"{one.strategy}-{one.digest}-{stream}.npz"

    def play(self, cell: Cell, takes: Sequence[Take], done: Tell) -> None:
        """Plays what is not kept yet under the names and templates of the cell's set."""
        made = self.set(cell)
        self.player.play(LabelSet(made.names, made.templates), takes, done)


def features_of(one: Contender, rows: Rows) -> FeatureFiles:
    """Views of the kind it wants."""
    needs = one.needs
    return rows[needs.augment] if needs.views > 1 else rows[PLAIN]


def make_frame_reader(
    features: FeatureFiles, picture: NDArray[np.int64], views: int
) -> Callable[[int], NDArray[np.float32]]:
    """A function from a frame to the first of its picture's views."""
    return lambda frame: features.rows(int(picture[frame]), views)
