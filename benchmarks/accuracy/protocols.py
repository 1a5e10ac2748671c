"""Streams that drift, as a camera sees them: which cell each frame comes from, and which picture it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tta_service.evaluate.cells import Cell

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Drift:
    """A stream of n frames; `blocks` are what a bootstrap may draw whole, `changes` where a session may be reset."""

    name: str
    cells: tuple[Cell, ...]  # [n] of each frame
    picture: Places  # [n] index into the chosen pictures
    blocks: Places  # [n]
    changes: frozenset[int]


@dataclass(frozen=True)
class Scene:
    """What the protocols draw from: `labels` [m] of the chosen pictures of a set; `other` is the shift that comes."""

    set: str
    labels: Places
    other: tuple[str, int]
    frames: int

    def clean(self) -> Cell:
        return Cell(self.set)

    def shifted(self) -> Cell:
        return Cell(self.set, *self.other)


Protocol = Callable[[Scene, np.random.Generator], Drift]
EACH = 20  # frames in a block of a stream whose frames are independent


def stationary(scene: Scene, draw: np.random.Generator) -> Drift:
    """Nothing changes."""
    return _independent("stationary", scene, draw, [scene.clean()] * scene.frames, frozenset())


def abrupt(scene: Scene, draw: np.random.Generator) -> Drift:
    """The shift comes at half time and stays."""
    half = scene.frames // 2
    cells = [scene.clean()] * half + [scene.shifted()] * (scene.frames - half)
    return _independent("abrupt", scene, draw, cells, frozenset({half}))


def gradual(scene: Scene, draw: np.random.Generator) -> Drift:
    """Day to night in six equal steps; a reset may come with each."""
    steps = np.arange(scene.frames) * 6 // scene.frames
    cells = [Cell(scene.set, "night", int(step)) if step else scene.clean() for step in steps]
    return _independent("gradual", scene, draw, cells, _edges(steps))


def recurring(scene: Scene, draw: np.random.Generator) -> Drift:
    """The shift comes and goes, four times."""
    phase = np.arange(scene.frames) * 8 // scene.frames
    cells = [scene.shifted() if odd else scene.clean() for odd in phase % 2]
    return _independent("recurring", scene, draw, cells, _edges(phase))


def imbalanced(scene: Scene, draw: np.random.Generator) -> Drift:
    """A few classes make up most of the stream: Zipf's law over a seeded order of the classes. Pictures recur."""
    classes = draw.permutation(np.unique(scene.labels))
    share = 1 / np.arange(1, len(classes) + 1)
    wanted = draw.choice(classes, scene.frames, p=share / share.sum())
    picture = _of_classes(scene.labels, wanted, draw)
    blocks = np.arange(scene.frames) // EACH
    return Drift("imbalanced", (scene.clean(),) * scene.frames, picture, blocks, frozenset())


def correlated(scene: Scene, draw: np.random.Generator, run: int = 16) -> Drift:
    """The same class for `run` frames, as when a camera stands before a thing; a reset may come with every fourth."""
    count = -(-scene.frames // run)
    wanted = np.repeat(draw.choice(np.unique(scene.labels), count), run)[: scene.frames]
    blocks = np.arange(scene.frames) // run
    changes = frozenset(range(4 * run, scene.frames, 4 * run))
    return Drift(
        "correlated", (scene.clean(),) * scene.frames, _of_classes(scene.labels, wanted, draw), blocks, changes
    )


PROTOCOLS: tuple[Protocol, ...] = (stationary, abrupt, gradual, recurring, imbalanced, correlated)


def _independent(
    name: str, scene: Scene, draw: np.random.Generator, cells: list[Cell], changes: frozenset[int]
) -> Drift:
    """Every picture once, under the shift of its moment.

    A picture keeps its cell in every order, so that it is encoded once: orders shuffle within a cell.
    """
    if scene.frames > len(scene.labels):
        raise ValueError(f"{scene.frames} frames of {len(scene.labels)} pictures: raise --count")
    picture, place = np.empty(scene.frames, np.int64), np.arange(scene.frames)
    for cell in dict.fromkeys(cells):
        inside = place[[one == cell for one in cells]]
        picture[inside] = draw.permutation(inside)
    return Drift(name, tuple(cells), picture, place // EACH, changes)


def _of_classes(labels: Places, wanted: Places, draw: np.random.Generator) -> Places:
    """A picture for each wanted class: all of a class before one of them comes again."""
    piles: dict[int, list[int]] = {}
    picture = np.empty(len(wanted), np.int64)
    for place, label in enumerate(wanted.tolist()):
        if not piles.get(label):
            piles[label] = draw.permutation(np.flatnonzero(labels == label)).tolist()
        picture[place] = piles[label].pop()
    return picture


def _edges(phase: Places) -> frozenset[int]:
    return frozenset((np.flatnonzero(np.diff(phase)) + 1).tolist())
