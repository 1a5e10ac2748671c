"""What are a person's lessons worth? Accuracy and calibration against the number of lessons of a class.

Lessons are pictures of the set, drawn evenly from all classes and never measured; the rest streams by. The strategies
run on stored features, without the service: a lesson, the fit after it, then frame by frame, with another fit where one
is due. `class_means` stands for what anybody would try first: the nearest mean of the centred lessons, without text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service import Evidence, TextSpace
from tta_service.core.catalogue import strategies as catalogue
from tta_service.core.labels import LabelSet
from tta_service.core.strategy import apply_fit, is_teachable
from tta_service.maths import unit

from .cells import Cell
from .features import FeatureExtractor
from .metrics import calibration_error

CLASS_MEANS = "class_means"


@dataclass(frozen=True)
class Row:
    """A strategy in a cell with so many lessons of each class, the mean over orders; percentages."""

    set: str
    shown: str
    strategy: str
    lessons: int
    wrong: float
    pictures: int
    top1: float
    gain: float  # points from zero-shot on the same pictures
    ece: float
    lesson_ms: float
    fit_ms: float
    answer_ms: float


@dataclass(frozen=True)
class World:
    """The features [n, d] of a cell and their classes [n]."""

    cell: Cell
    text: TextSpace
    features: Tensor
    labels: NDArray[np.int64]

    def split(self, lessons: int, most: int, order: int) -> tuple[list[int], list[int]]:
        """Places of `lessons` of each class, and of the pictures to measure: these are the same for all counts."""
        draw, taught, measured = np.random.default_rng(order), [], []
        for one in range(len(self.text.features)):
            places = draw.permutation(np.flatnonzero(self.labels == one)).tolist()
            taught += places[:lessons]
            measured += places[most:]
        return draw.permutation(taught).astype(int).tolist(), draw.permutation(measured).tolist()


def open_world(extractor: FeatureExtractor, cell: Cell, classes: int, each: int) -> World:
    """The first `classes` of a seeded order of the set's classes (0: all), `each` pictures of every one."""
    pictures = extractor.sets[cell.set]
    draw = np.random.default_rng(0)
    chosen = draw.permutation(len(pictures.names))[: classes or None]
    places = [draw.permutation(np.flatnonzero(pictures.labels == one))[:each] for one in chosen]
    whole = np.concatenate(places)
    rows = extractor.rows(cell, "crop", 1, whole, lambda _: None)
    features = torch.from_numpy(np.stack([rows.rows(int(i), 1)[0] for i in whole]))
    labels = np.repeat(np.arange(len(chosen)), [len(some) for some in places])
    text = extractor.clip.text_space(LabelSet(tuple(pictures.names[i] for i in chosen), pictures.templates))
    return World(cell, text, features, labels)


def measure(
    world: World, names: Sequence[str], counts: Sequence[int], orders: int, wrong: float = 0.0
) -> Iterator[Row]:
    """A row for every strategy and count; with `wrong`, this share of the lessons (one at least) has another class."""
    most = max(counts)
    for name, lessons in product(names, counts):
        runs = []
        for order in range(orders):
            taught, measured = world.split(lessons, most, order)
            labels = world.labels[taught]
            if wrong and len(labels):
                draw = np.random.default_rng(1000 + order)
                some = draw.permutation(len(labels))[: max(1, round(wrong * len(labels)))]
                labels[some] = (labels[some] + draw.integers(1, len(world.text.features), len(some))) % len(
                    world.text.features
                )
            play = _class_means if name == CLASS_MEANS else _play
            logits, *seconds = play(name, world, taught, labels.tolist(), measured)
            right = world.labels[measured]
            scores = logits.softmax(-1).numpy()
            plain = (world.features[measured] @ world.text.features.T).argmax(1).numpy()
            top1 = (scores.argmax(1) == right).mean()
            runs.append((top1, top1 - (plain == right).mean(), calibration_error(scores, right), *seconds))
        top1, gain, ece, *seconds = np.mean(runs, 0)
        mean = 100 * top1, 100 * gain, 100 * ece, *(1000 * one for one in seconds)
        yield Row(world.cell.set, world.cell.shown, name, lessons, wrong, len(measured), *map(float, mean))


def _play(
    name: str, world: World, taught: Sequence[int], labels: Sequence[int], measured: Sequence[int]
) -> tuple[Tensor, float, float, float]:
    """Logits [m, c], and the seconds of a lesson, the longest fit and an answer."""
    strategy, text, answers, fits = catalogue.build(name, {}), world.text, [], [0.0]
    memory = strategy.begin(text)
    with torch.inference_mode():
        began = time.perf_counter()
        for place, label in zip(taught if is_teachable(strategy) else (), labels):
            memory = strategy.teach(Evidence(world.features[place : place + 1], text), label, memory)
        lesson = (time.perf_counter() - began) / max(1, len(taught))
        began = time.perf_counter()
        for place in measured:
            if strategy.fit_is_due(memory):
                started = time.perf_counter()
                memory = apply_fit(memory, strategy.fit(memory, text))
                fits.append(time.perf_counter() - started)
            logits, memory = strategy.adapt(Evidence(world.features[place : place + 1], text), memory)
            answers.append(logits.clone())
    spent = time.perf_counter() - began - sum(fits)
    return torch.stack(answers), lesson, max(fits), spent / len(measured)


def _class_means(
    name: str, world: World, taught: Sequence[int], labels: Sequence[int], measured: Sequence[int]
) -> tuple[Tensor, float, float, float]:
    """Logits 20 · cosine to the mean of a class, centred on the pictures that are measured."""
    if not len(taught):
        return world.text.scale * world.features[measured] @ world.text.features.T, 0.0, 0.0, 0.0
    centre = world.features[measured].mean(0)
    away, sums = unit(world.features[taught] - centre), torch.zeros_like(world.text.features)
    sums.index_add_(0, torch.tensor(labels), away)
    return 20 * unit(world.features[measured] - centre) @ unit(sums).T, 0.0, 0.0, 0.0


def markdown(rows: Sequence[Row]) -> list[str]:
    """Mean gain and ECE of every strategy over the cells of a set, by lessons."""
    lines = []
    for name, wrong in dict.fromkeys((row.set, row.wrong) for row in rows):
        some = [row for row in rows if (row.set, row.wrong) == (name, wrong)]
        lines += [f"## {name}" + (f", {100 * wrong:g} % of the lessons wrong" if wrong else ""), "", *_table(some), ""]
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    counts, cells = sorted({row.lessons for row in rows}), len({row.shown for row in rows})
    lines = [f"Points from zero-shot in the mean of {cells} cells (the worst cell); ECE. Lessons a class:", ""]
    lines += ["| strategy | " + " | ".join(map(str, counts)) + " |", "|---" * (len(counts) + 1) + "|"]
    for strategy in dict.fromkeys(row.strategy for row in rows):
        parts = [[row for row in rows if (row.strategy, row.lessons) == (strategy, n)] for n in counts]
        lines.append(f"| `{strategy}` | " + " | ".join(map(_gain, parts)) + " |")
    return lines


def _gain(rows: Sequence[Row]) -> str:
    gains, ece = [row.gain for row in rows], float(np.mean([row.ece for row in rows]))
    return f"{np.mean(gains):+.1f} ({min(gains):+.1f}); {ece:.1f}"


def as_dicts(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]
