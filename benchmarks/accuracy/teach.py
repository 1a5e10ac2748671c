"""What are a person's lessons worth? Accuracy and calibration against the number of lessons of a class.

Lessons are pictures of the set, drawn evenly from all classes and never measured; the rest streams by. The strategies
run on stored features, without the service: the lessons, the fit after them, then frame by frame, with another fit
where one is due. `class_means` stands for what anybody would try first: the nearest mean of the centred lessons,
without text. What is played already is not played again, until a file of its strategy changes; the rows join those that
the results have from other commands.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service import Evidence, TextSpace
from tta_service.core.catalogue import strategies as catalogue
from tta_service.core.labels import LabelSet
from tta_service.core.strategy import Strategy, apply_fit, is_teachable, needs_of
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.features import FeatureExtractor
from tta_service.evaluate.metrics import calibration_error
from tta_service.maths import unit
from tta_service.serving.pipeline.adaptation import make_example

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
    """The view features [n, v, d] of a cell, the plain view first, and the pictures' classes [n]."""

    cell: Cell
    text: TextSpace
    views: Tensor
    labels: NDArray[np.int64]

    @property
    def features(self) -> Tensor:
        """[n, d] of the plain views."""
        return self.views[:, 0]

    @cached_property
    def digest(self) -> str:
        parts = self.features.numpy(), self.text.features.numpy(), self.labels
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]

    def split(self, lessons: int, most: int, order: int) -> tuple[list[int], list[int]]:
        """Places of `lessons` of each class, and of the pictures to measure: these are the same for all counts."""
        draw, taught, measured = np.random.default_rng(order), [], []
        for one in range(len(self.text.features)):
            places = draw.permutation(np.flatnonzero(self.labels == one)).tolist()
            taught += places[:lessons]
            measured += places[most:]
        return draw.permutation(taught).astype(int).tolist(), draw.permutation(measured).tolist()


def open_world(extractor: FeatureExtractor, cell: Cell, classes: int, each: int, views: int = 1) -> World:
    """The first `classes` of a seeded order of the set's classes (0: all), `each` pictures of every one."""
    pictures = extractor.sets[cell.set]
    draw = np.random.default_rng(0)
    chosen = draw.permutation(len(pictures.names))[: classes or None]
    places = [draw.permutation(np.flatnonzero(pictures.labels == one))[:each] for one in chosen]
    whole = np.concatenate(places)
    rows = extractor.rows(cell, "crop", views, whole, lambda _: None)
    features = torch.from_numpy(np.stack([rows.rows(int(i), views) for i in whole]))
    labels = np.repeat(np.arange(len(chosen)), [len(some) for some in places])
    text = extractor.clip.text_space(LabelSet(tuple(pictures.names[i] for i in chosen), pictures.templates))
    return World(cell, text, features, labels)


def views_for(names: Sequence[str]) -> int:
    """The most views that a contender asks for."""
    return max(build(name).needs().views for name in names if name != CLASS_MEANS)


def measure(
    world: World,
    names: Sequence[str],
    counts: Sequence[int],
    orders: int,
    wrong: float = 0.0,
    folder: Path | None = None,
) -> Iterator[Row]:
    """A row for every contender and count; with `wrong`, this share of the lessons (one at least) has another class.

    What is played is kept in the folder.
    """
    most = max(counts)
    for name, lessons in product(names, counts):
        learns = name == CLASS_MEANS or is_teachable(build(name))
        runs = [_measure_once(world, name, (lessons if learns else 0, most, i), wrong, folder) for i in range(orders)]
        top1, gain, ece, *seconds = np.mean(runs, 0)
        mean = 100 * top1, 100 * gain, 100 * ece, *(1000 * one for one in seconds)
        pictures = len(world.split(0, most, 0)[1])
        yield Row(world.cell.set, world.cell.shown, name, lessons, wrong, pictures, *map(float, mean))


def _measure_once(
    world: World, name: str, split: tuple[int, int, int], wrong: float, folder: Path | None
) -> list[float]:
    """Top-1, its gain, ECE, and the seconds of a lesson, the longest fit and an answer."""
    asked = json.dumps(
        [
            world.digest,
            name if name == CLASS_MEANS else Contender.of(name).digest,
            name,
            *split,
            wrong if wrong and split[0] else 0,
        ]
    )
    path = folder and folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:24]}.json"
    if path and path.exists():
        return json.loads(path.read_text())
    taught, measured = world.split(*split)
    labels = world.labels[taught]
    if wrong and len(labels):
        draw, classes = np.random.default_rng(1000 + split[2]), len(world.text.features)
        some = draw.permutation(len(labels))[: max(1, round(wrong * len(labels)))]
        labels[some] = (labels[some] + draw.integers(1, classes, len(some))) % classes
    play = _class_means if name == CLASS_MEANS else _play
    logits, *seconds = play(name, world, taught, labels.tolist(), measured)
    right = world.labels[measured]
    scores = logits.softmax(-1).numpy()
    plain = (world.features[measured] @ world.text.features.T).argmax(1).numpy()
    top1 = float((scores.argmax(1) == right).mean())
    found = [top1, top1 - float((plain == right).mean()), calibration_error(scores, right), *seconds]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return found


def build(name: str) -> Strategy[Any]:
    """The strategy of a contender such as `taught:views=8`."""
    one = Contender.of(name)
    return catalogue.build(one.strategy, one.parameters)


def _play(
    name: str, world: World, taught: Sequence[int], labels: Sequence[int], measured: Sequence[int]
) -> tuple[Tensor, float, float, float]:
    """Logits [m, c], and the seconds of a lesson, the longest fit and an answer."""
    strategy, text = build(name), world.text
    memory, needs = strategy.begin(text), needs_of(strategy)
    with torch.inference_mode():
        began = time.perf_counter()
        for place, label in zip(taught if is_teachable(strategy) else (), labels):
            rows = make_example(Evidence(world.views[place, : needs.views], text), needs.confident)
            memory = strategy.teach(Evidence(unit(rows.float()), text), label, memory)
        lesson = (time.perf_counter() - began) / max(1, len(taught))
        logits, fit, answer = play_frames(strategy, memory, world, measured)
    return logits, lesson, fit, answer


def play_frames(
    strategy: Strategy[Any], memory: Any, world: World, places: Sequence[int]
) -> tuple[Tensor, float, float]:
    """Logits [m, c], and the seconds of the longest fit and of an answer."""
    answers, fits, views = [], [0.0], needs_of(strategy).views
    began = time.perf_counter()
    for place in places:
        if strategy.fit_is_due(memory):
            started = time.perf_counter()
            memory = apply_fit(memory, strategy.fit(memory, world.text))
            fits.append(time.perf_counter() - started)
        logits, memory = strategy.adapt(Evidence(world.views[place, :views], world.text), memory)
        answers.append(logits.clone())
    spent = time.perf_counter() - began - sum(fits)
    return torch.stack(answers), max(fits), spent / len(places)


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


def join(rows: Sequence[Row], command: str, path: Path) -> tuple[list[Row], list[str]]:
    """The rows and commands of the results at the path, where there are some, with these in place of the same ones."""
    held = json.loads(path.read_text()) if path.exists() else {"about": {"command": []}, "rows": []}
    before = {_key(row): row for row in (Row(**row) for row in held["rows"])}
    commands = dict.fromkeys([*held["about"]["command"], command])
    return list((before | {_key(row): row for row in rows}).values()), list(commands)


def _key(row: Row) -> tuple[object, ...]:
    return row.wrong, row.set, row.shown, row.strategy, row.lessons
