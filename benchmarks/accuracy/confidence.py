"""Can one act on the confidence of an answer? Calibration, and how often prediction sets hold the right label.

Lessons are drawn uniformly from the pictures, or so many of each class, and never measured; the rest streams by.
*floor* is the ECE that the same confidences would have if they were exactly right, the mean over simulated outcomes.
*range* is the ECE with `zero_shot_range`, *calibrated* that of the confidence with `lessons`. Coverage is of sets that
are to hold the label in 90 % of the pictures; *inside* counts the draws within the central 95 % of the beta-binomial
distribution that exact split conformal prediction would have. Under drift the first half of the lessons is of the first
cell; the pictures measured are of the second, as are the later lessons.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import betabinom
from torch import Tensor

from tta_service.confidence.calibration import WINDOW, Calibration, calibrate, softmax, zero_shot_range
from tta_service.confidence.conformal import prediction_set
from tta_service.core.catalogue import strategies as catalogue
from tta_service.core.evidence import Evidence
from tta_service.core.lessons import Example, Lesson
from tta_service.core.strategy import Strategy, apply_fit, is_teachable
from tta_service.evaluate.metrics import FLOOR, calibration_error
from tta_service.serving.pipeline.cross_fitting import cross_fit, make_memory, zero_shot_logits

from .teach import World

COVERAGE = 0.9
FRAMES = 128  # that the memory has seen before, when it is calibrated
Numbers = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class CalibrationRow:
    """Percentages, and nats; the mean over orders."""

    set: str
    shown: str
    strategy: str
    lessons: int  # of each class
    pictures: int
    top1: float
    zero_shot_ece: float
    ece: float
    range_ece: float
    calibrated_ece: float
    floor: float
    zero_shot_nll: float
    nll: float
    calibrated_nll: float
    temperature: float


@dataclass(frozen=True)
class CoverageRow:
    """Percentages; over draws."""

    set: str
    shown: str
    strategy: str
    lessons: int
    draws: int
    coverage: float
    worst: float
    best: float
    inside: int
    size: float  # labels in a set
    single: float  # sets of one label


@dataclass(frozen=True)
class Answers:
    """What was said about m pictures, and what is right."""

    logits: Numbers  # [m, c]
    zero_shot: Numbers  # [m, c]
    right: Places  # [m]

    def calibrated(self, calibration: Calibration) -> Numbers:
        """[m, c] probabilities."""
        return calibration.probabilities(self.logits, self.zero_shot)


def lessons_of(world: World, places: Sequence[int], after: int = 0) -> list[Lesson]:
    """Lessons about these pictures, as a session has them."""
    names, labels = world.text.labels.names, world.text.labels
    return [
        Lesson(
            after + i + 1,
            Example(f"e{after + i}", world.features[place : place + 1].half(), labels, None, 0.0),
            names[label],
        )
        for i, (place, label) in enumerate(zip(places, world.labels[list(places)]))
    ]


def learn_calibration(
    strategy: Strategy, world: World, lessons: list[Lesson], recent: Sequence[int], covered: tuple[bool, ...] = ()
) -> Calibration:
    """From lessons that are all drawn uniformly, and places of pictures that were seen without one."""
    frames = [world.features[place : place + 1] for place in recent]
    zero_shot = zero_shot_logits(world.text, lessons)
    logits = _finish(cross_fit(strategy, world.text, lessons, lessons, frames)) if is_teachable(strategy) else zero_shot
    labels = np.array([world.text.labels.names.index(lesson.label or "") for lesson in lessons])
    return calibrate(logits.double().numpy(), zero_shot.double().numpy(), labels, covered)


def _finish(steps: Generator[None, None, list[Tensor]]) -> Tensor:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return torch.stack(end.value)


def answer(strategy: Strategy, world: World, lessons: list[Lesson], measured: Sequence[int]) -> Answers:
    """The pictures, one after the other, through a memory that has learnt the lessons."""
    memory = make_memory(strategy, world.text, lessons)
    found = []
    with torch.no_grad():
        for place in measured:
            if strategy.fit_is_due(memory):
                memory = apply_fit(memory, strategy.fit(memory, world.text))
            logits, memory = strategy.adapt(Evidence(world.features[place : place + 1], world.text), memory)
            found.append(logits.double().numpy())
        plain = world.text.scale * world.features[list(measured)] @ world.text.features.T
    return Answers(np.stack(found), plain.double().numpy(), world.labels[list(measured)])


def measure_calibration(
    world: World, names: Sequence[str], counts: Sequence[int], orders: int
) -> Iterator[CalibrationRow]:
    for name in names:
        strategy = catalogue.build(name, {})
        for count in counts:
            runs = []
            for order in range(orders):
                taught, measured = world.split(count, count, order)
                lessons = lessons_of(world, taught)
                said = answer(strategy, world, lessons, measured)
                calibration = learn_calibration(strategy, world, lessons, measured[-FRAMES:])
                runs.append(_judge(said, calibration, order))
            mean = [float(one) for one in np.mean(runs, 0)]
            yield CalibrationRow(world.cell.set, world.cell.shown, name, count, len(measured), *mean)


def _judge(said: Answers, calibration: Calibration, order: int) -> tuple[float, ...]:
    plain, own = softmax(said.zero_shot), softmax(said.logits)
    in_range = softmax(zero_shot_range(said.logits, said.zero_shot))
    made, best = said.calibrated(calibration), said.logits.argmax(1)
    rows = np.arange(len(best))
    sure, hit = made[rows, best], best == said.right
    draw = np.random.default_rng(order)
    floor = np.mean([error_of(sure, draw.random(len(sure)) < sure) for _ in range(200)])
    top1, eces = float(hit.mean()), [calibration_error(one, said.right) for one in (plain, own, in_range)]
    nlls = [float(-np.log(np.maximum(one[rows, said.right], FLOOR)).mean()) for one in (plain, own, made)]
    return *(100 * one for one in (top1, *eces, error_of(sure, hit), float(floor))), *nlls, calibration.temperature


def error_of(sure: Numbers, hit: NDArray[np.bool_]) -> float:
    """ECE in 20 bins of the confidence [m] in answers that are right or not."""
    place = np.clip(np.ceil(sure * 20).astype(int) - 1, 0, 19)
    return float(np.abs(np.bincount(place, sure - hit)).sum() / len(sure))


def measure_coverage(world: World, names: Sequence[str], counts: Sequence[int], draws: int) -> Iterator[CoverageRow]:
    for name in names:
        strategy = catalogue.build(name, {})
        for count in counts:
            found = []
            for seed in range(draws):
                order = np.random.default_rng(seed).permutation(len(world.labels))
                lessons = lessons_of(world, order[:count].tolist())
                measured = order[count:].tolist()
                calibration = learn_calibration(strategy, world, lessons, measured[-FRAMES:])
                said = answer(strategy, world, lessons, measured)
                found.append((*_cover(said, calibration), len(measured)))
            yield _coverage_row(world, name, count, found)


def _cover(said: Answers, calibration: Calibration) -> tuple[float, float, float, int]:
    """The share of sets that hold the label, their size, the share of those of one label; and n."""
    probabilities, most = said.calibrated(calibration), calibration.threshold(COVERAGE)
    sets = np.stack([prediction_set(one, most) for one in probabilities])
    size = sets.sum(1)
    held = sets[np.arange(len(sets)), said.right]
    return float(held.mean()), float(size.mean()), float((size == 1).mean()), len(calibration.scores)


def _coverage_row(world: World, name: str, count: int, found: Sequence[tuple]) -> CoverageRow:
    inside = 0
    for share, _, _, n, pictures in found:
        rank = int(np.ceil((n + 1) * COVERAGE))
        low, high = betabinom(pictures, rank, n + 1 - rank).interval(0.95)
        inside += low <= share * pictures <= high
    share, size, single = (np.array([one[i] for one in found]) for i in range(3))
    coverage, worst, best = (100 * float(one) for one in (share.mean(), share.min(), share.max()))
    sizes = float(size.mean()), 100 * float(single.mean())
    about = world.cell.set, world.cell.shown
    return CoverageRow(*about, name, count, len(found), coverage, worst, best, int(inside), *sizes)


def measure_drift(
    first: World, second: World, names: Sequence[str], count: int, draws: int, each: int = 100
) -> Iterator[CoverageRow]:
    """`each`: lessons after which the calibration is made again, as a service does when a fit has ended."""
    for name in names:
        strategy = catalogue.build(name, {})
        found = []
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(len(second.labels)).tolist()
            lessons = lessons_of(first, order[: count // 2]) + lessons_of(second, order[count // 2 : count], count)
            covered, measured = [], order[count:]
            for start in range(each, count + 1, each):
                known, world = lessons[:start], first if start < count // 2 else second
                recent = measured[-FRAMES:]
                made = learn_calibration(strategy, world, known[-WINDOW:], recent, tuple(covered))
                if start < count:
                    said = answer(strategy, world, known[-WINDOW:], order[start : start + each])
                    of_label = said.calibrated(made)[np.arange(each), said.right]
                    for one in of_label.tolist():
                        covered.append(bool(1 - one <= replace(made, covered=tuple(covered)).threshold(COVERAGE)))
            found.append((*_cover(answer(strategy, second, lessons[-WINDOW:], measured), made), len(measured)))
        yield _coverage_row(second, f"{name}, after {first.cell.shown}", count, found)


def markdown(calibration: Sequence[CalibrationRow], coverage: Sequence[CoverageRow]) -> list[str]:
    lines = ["## ECE and negative log-likelihood", ""]
    heads = (
        "set, cell | strategy | lessons a class | pictures | top-1 | ECE zero-shot | own | range | calibrated | floor"
    )
    heads += " | NLL zero-shot | own | calibrated | T"
    lines += [f"| {heads} |", "|---" * 14 + "|"]
    for one in calibration:
        eces = one.top1, one.zero_shot_ece, one.ece, one.range_ece, one.calibrated_ece, one.floor
        cells = [f"{one.set}, {one.shown}", f"`{one.strategy}`", str(one.lessons), str(one.pictures)]
        cells += [f"{value:.1f}" for value in eces]
        cells += [f"{value:.2f}" for value in (one.zero_shot_nll, one.nll, one.calibrated_nll, one.temperature)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Coverage at 90 %", ""]
    lines += ["| set, cell | strategy | lessons | coverage (worst, best draw) | inside | labels in a set | single |"]
    lines += ["|---" * 7 + "|"]
    for one in coverage:
        spread = f"{one.coverage:.1f} ({one.worst:.1f}, {one.best:.1f})"
        cells = [f"{one.set}, {one.shown}", one.strategy, str(one.lessons), spread, f"{one.inside} of {one.draws}"]
        lines.append(f"| {' | '.join([*cells, f'{one.size:.2f}', f'{one.single:.0f} %'])} |")
    return lines


def as_dicts(rows: Sequence[CalibrationRow | CoverageRow]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]
