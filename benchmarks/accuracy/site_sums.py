"""How near do the sums of another site come to its lessons?

A site is taught so many lessons of each class, drawn evenly from the set and never measured. Another site, which was
taught nothing, answers the rest of the pictures: with the lessons themselves, with their exact sums, and with sums that
have noise for (ε, δ)-differential privacy of one lesson. Points of top-1 from zero-shot, and ECE, the mean over orders.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from tta_service import Evidence
from tta_service.core.lesson_sums import LessonSums, Noise
from tta_service.evaluate.cells import cells
from tta_service.evaluate.metrics import calibration_error
from tta_service.sums import add_noise, sum_up

from .setup import about_of, make_extractor, save
from .teach import World, build, open_world, play_frames

LESSONS, EXACT = "lessons", "exact sums"


@dataclass(frozen=True)
class SumsRow:
    """What a site answers, the mean over orders; percentages."""

    set: str
    shown: str
    strategy: str
    lessons: int  # of each class, at the other site
    given: str
    heard: float  # of the lessons, by the counts that are given
    pictures: int
    gain: float  # points from zero-shot on the same pictures
    ece: float


def run(args: argparse.Namespace) -> int:
    """The mode of the command line."""
    extractor, rows = make_extractor(args), list[SumsRow]()
    for cell in cells(list(extractor.sets), args.shifts, args.severities, ["none"]):
        world = open_world(extractor, cell, args.classes, args.each)
        rows += measure(world, args.strategies, args.lessons, args.orders, args.epsilons, args.delta)
        save(args, f"{args.name}.json", json.dumps({"about": about_of(args), "rows": [asdict(row) for row in rows]}))
        lines = ["# What are the sums of another site worth?", "", about_of(args)["command"], "", __doc__ or ""]
        save(args, f"{args.name}.md", "\n".join([*lines, *markdown(rows, args.delta)]))
    print("\n".join(markdown(rows, args.delta)))
    return 0


def measure(
    world: World, names: Sequence[str], counts: Sequence[int], orders: int, epsilons: Sequence[float], delta: float
) -> Iterator[SumsRow]:
    """A row for every strategy and number of lessons with which pictures are left, and every way to give them."""
    fewest = int(np.bincount(world.labels).min())
    for name in names:
        for lessons in (count for count in counts if count < fewest):
            for given in (LESSONS, EXACT, *epsilons):
                noise = Noise(given, delta) if isinstance(given, float) else None
                runs = [_measure_once(world, name, lessons, order, given, noise) for order in range(orders)]
                heard, gain, ece, pictures = np.mean(runs, 0)
                shown = given if isinstance(given, str) else f"ε = {given:g}"
                made = world.cell.set, world.cell.shown, name, lessons, shown
                yield SumsRow(*made, 100 * heard, int(pictures), 100 * gain, 100 * ece)


def _measure_once(
    world: World, name: str, lessons: int, order: int, given: str | float, noise: Noise | None
) -> tuple[float, float, float, int]:
    taught, measured = world.split(lessons, lessons, order)
    labels, strategy, heard = world.labels[taught].tolist(), build(name), 1.0
    memory = strategy.begin(world.text)
    with torch.inference_mode():
        if given == LESSONS:
            for place, label in zip(taught, labels):
                memory = strategy.teach(Evidence(world.features[place : place + 1], world.text), label, memory)
        else:
            sums = _sums_of(world, taught, labels, noise, order)
            memory, heard = strategy.add_sums(sums, memory), float(sums.counts.clamp(max=lessons).sum()) / len(taught)
        logits = play_frames(strategy, memory, world, measured)[0]
    right, scores = world.labels[measured], logits.softmax(-1).numpy()
    plain = (world.features[measured] @ world.text.features.T).argmax(1).numpy()
    gain = float((scores.argmax(1) == right).mean() - (plain == right).mean())
    return heard, gain, calibration_error(scores, right), len(measured)


def _sums_of(world: World, taught: Sequence[int], labels: list[int], noise: Noise | None, order: int) -> LessonSums:
    exact = sum_up(world.features[taught], torch.tensor(labels), world.text.labels, None)
    return add_noise(exact, noise, np.random.default_rng(order)) if noise else exact


def markdown(rows: Sequence[SumsRow], delta: float) -> list[str]:
    """A table for every cell."""
    lines = []
    for where in dict.fromkeys((row.set, row.shown) for row in rows):
        some = [row for row in rows if (row.set, row.shown) == where]
        counts, ways = sorted({row.lessons for row in some}), dict.fromkeys(row.given for row in some)
        lines += [f"## {where[0]}, {where[1]}", "", f"δ = {delta:g}; lessons a class at the other site:", ""]
        lines += ["| strategy | given | " + " | ".join(map(str, counts)) + " |", "|---" * (len(counts) + 2) + "|"]
        for strategy in dict.fromkeys(row.strategy for row in some):
            for given in ways:
                cut = [row for row in some if (row.strategy, row.given) == (strategy, given)]
                told = [f"{row.gain:+.1f}; {row.ece:.1f}" + _share(row) for row in cut]
                lines.append(f"| `{strategy}` | {given} | " + " | ".join(told) + " |")
        lines.append("")
    return lines


def _share(row: SumsRow) -> str:
    return "" if row.given in (LESSONS, EXACT) else f" ({row.heard:.0f} % heard)"
