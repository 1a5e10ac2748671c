"""Does the advice of `tta-service advise` pay? It looks at some pictures of a cell and is judged on the others.

The rule is the service's own (`tta_service/evaluate/advise/judge.py`), fed with the same evidence: what each strategy
answers to the pictures it may see, in two halves of the crops or two orders, and what unseen crops believe. Then the
recommended strategy's accuracy on the *other* pictures of the cell stands beside plain CLIP's and beside that of the
most expensive one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tta_service.evaluate import metrics
from tta_service.evaluate.advise.judge import Advice, Rule, Trial, judge
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender

from .judge_evidence import looked_at, trials_of
from .sweep import Sweep

DEADLINES = (None, 0.05)  # seconds


@dataclass
class Judgement:
    """Accuracies in % on pictures that the advice has not seen; differences paired, in points."""

    set: str
    shift: str
    severity: int
    deadline: float | None
    looked_at: int
    judged_on: int
    chosen: str
    believed: float
    zero_shot: float
    advised: float
    most_expensive: float
    best: float
    best_name: str
    seconds: float
    most_expensive_seconds: float


def measure(
    study: Sweep, cells: Sequence[Cell], contenders: tuple[Contender, ...], views: int, rule: Rule
) -> Iterator[list[tuple[Judgement, NDArray[np.float64]]]]:
    """Cell by cell, for each deadline: the judgement, and [3, m] hits of plain CLIP, the advised and the most expensive
    strategy."""
    frames = sum(2 * len(study.choose(cell)) * len(contenders) for cell in cells)
    seconds = study.extractor.seconds_a_row(cells[0])
    with tqdm(total=frames, unit="frame") as bar:
        for cell in cells:
            bar.set_description(f"{cell.set} {cell.shown}")
            yield _cell(study, cell, contenders, views, rule, seconds, bar)


def _cell(
    study: Sweep, cell: Cell, contenders: tuple[Contender, ...], views: int, rule: Rule, seconds: float, bar: tqdm
) -> list[tuple[Judgement, NDArray[np.float64]]]:
    trials, runs = trials_of(study, cell, contenders, views, seconds, bar)
    chosen = study.choose(cell)
    looked = looked_at(len(chosen))
    held = np.isin(runs["zero_shot"].picture, chosen[looked:])  # by picture, as all runs here
    hits = {name: metrics.hits(run)[held] for name, run in runs.items()}
    most_expensive = max(trials, key=lambda trial: trial.seconds)
    found = []
    for deadline in DEADLINES:
        advice = judge(trials, deadline, rule)
        name, best = advice.opinion.name, max(hits, key=lambda one: hits[one].mean())
        judged = np.stack([hits["zero_shot"], hits[name], hits[most_expensive.strategy.name]])
        plain, advised, most = 100 * judged.mean(1)
        found.append(
            (
                _judgement(cell, deadline, looked, judged, advice, plain, advised, most, hits, best, most_expensive),
                judged,
            )
        )
    return found


def _judgement(
    cell: Cell, deadline: float | None, looked: int, judged: NDArray[np.float64], advice: Advice,
    plain: float, advised: float, most: float, hits: dict[str, NDArray[np.float64]], best: str, most_expensive: Trial,
) -> Judgement:  # fmt: skip
    return Judgement(
        cell.set,
        cell.shift,
        cell.severity,
        deadline,
        looked,
        judged.shape[1],
        advice.opinion.name,
        100 * advice.opinion.gain,
        float(plain),
        float(advised),
        float(most),
        100 * float(hits[best].mean()),
        best,
        advice.opinion.seconds,
        most_expensive.seconds,
    )
