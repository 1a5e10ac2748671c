"""Worlds made of numbers in which adapting must help, through the same service: is it the code?

Features stand around the model's own text features; nothing else of the model and no picture is in them. In
`clusters` the images of a class lie close together and beside their text, so a method that learns from the stream
must win, and views are copies with a little noise. In `views` every row is the text and much noise of its own, so a
method that uses more of them must win, and there is nothing to learn. In `lies` the surest views are of another
class: a method that trusts them loses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tta_service.core.labels import LabelSet
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.replay import Take
from tta_service.evaluate.rows import Row, row
from tta_service.evaluate.runs import Run

from .sweep import Sweep

VIEWS = 64
World = Callable[[NDArray[np.float32], NDArray[np.int64], np.random.Generator], NDArray[np.float32]]


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def noise(draw: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Vectors [..., d] of length about 1."""
    return draw.normal(size=shape) / np.sqrt(shape[-1])


def clusters(text: NDArray[np.float32], labels: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.float32]:
    """[n, v, d]: images of a class share much that its text does not say, and each has noise of its own."""
    centre = 0.35 * unit(text) + 0.9 * unit(noise(draw, *text.shape))
    image = centre[labels] + 1.5 * noise(draw, len(labels), text.shape[1])
    return unit(unit(image)[:, None] + 0.1 * noise(draw, len(labels), VIEWS, text.shape[1]))


def views(text: NDArray[np.float32], labels: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.float32]:
    """[n, v, d]: every view sees the class through its own fog, some through less."""
    fog = draw.uniform(2.0, 10.0, size=(len(labels), VIEWS, 1))
    fog[:, 0] = 6.0
    return unit(unit(text)[labels][:, None] + fog * noise(draw, len(labels), VIEWS, text.shape[1]))


def lies(text: NDArray[np.float32], labels: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.float32]:
    """[n, v, d]: as `views`, but a quarter of the crops show another class, and clearly."""
    seen = views(text, labels, draw)
    other = (labels[:, None] + draw.integers(1, len(text), size=(len(labels), 1))) % len(text)
    liars = draw.random((len(labels), VIEWS)) < 0.25
    liars[:, 0] = False
    shown = unit(unit(text)[other] + 0.5 * noise(draw, len(labels), VIEWS, text.shape[1]))
    return np.where(liars[..., None], shown, seen)


WORLDS: dict[str, World] = {"clusters": clusters, "views": views, "lies": lies}


def measure(study: Sweep, name: str, contenders: tuple[Contender, ...]) -> list[Row]:
    """One row for each contender in each world, under the class names of that set."""
    made, clip = study.extractor.sets[name], study.extractor.clip
    text = clip.text_space(LabelSet(made.names, made.templates)).features.numpy()
    rows: list[Row] = []
    with tqdm(total=len(WORLDS) * sum(study.count * study.orders_for(one) for one in contenders), unit="frame") as bar:
        for world, build in WORLDS.items():
            bar.set_description(f"{name} {world}")
            draw = np.random.default_rng(7)
            labels = draw.integers(0, len(text), size=study.count)
            features = build(text, labels, draw)
            cell = Cell(name)
            takes = {str(one): _takes(study, cell, world, one, features, labels) for one in contenders}
            study.play(cell, [take for some in takes.values() for take in some], bar.update)
            runs = {key: [Run.load(take.path) for take in some] for key, some in takes.items()}
            for one in contenders:
                made_row = row(cell, one, runs[str(one)], runs.get(str(one.beside), []))
                made_row.shift = world
                rows.append(made_row)
    return rows


def _takes(
    study: Sweep, cell: Cell, world: str, one: Contender, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> list[Take]:
    count, views_per_picture, found = len(labels), one.needs.views, []
    for number in range(study.orders_for(one)):
        order = np.random.default_rng(1000 + number).permutation(count)
        path: Path = study.path(cell, one, f"{count}-{world}{number}")
        found.append(Take(one, _make_frame_reader(features, order, views_per_picture), order, labels[order], path))
    return found


def _make_frame_reader(
    features: NDArray[np.float32], order: NDArray[np.int64], views_per_picture: int
) -> Callable[[int], NDArray[np.float32]]:
    return lambda frame: features[order[frame], :views_per_picture]


def markdown(rows: Sequence[Row]) -> list[str]:
    """One table a set, a column for each world."""
    lines: list[str] = []
    for name in dict.fromkeys(one.set for one in rows):
        mine = [one for one in rows if one.set == name]
        plain = {one.shift: one.top1 for one in mine if one.contender == "zero_shot"}
        heads = [f"{world} (zero-shot {plain[world]:.1f})" for world in plain]
        lines += [f"## {name}: {mine[0].classes} classes, {mine[0].pictures} frames", ""]
        lines += [f"| strategy | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
        for contender in dict.fromkeys(one.contender for one in mine):
            if contender != "zero_shot":
                cells = [
                    f"{one.difference:+.1f} ± {one.difference_error:.1f}" for one in mine if one.contender == contender
                ]
                lines.append(f"| `{contender}` | {' | '.join(cells)} |")
        lines.append("")
    return lines
