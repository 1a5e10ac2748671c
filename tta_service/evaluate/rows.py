"""Runs to the rows of the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from . import metrics, verdicts
from .cells import Cell
from .contenders import Contender
from .runs import Run


@dataclass
class Row:
    """Percentages and points are of 100. Differences are paired: the same pictures, the same orders."""

    set: str
    shift: str
    severity: int
    reducer: str
    contender: str
    pictures: int
    orders: int
    classes: int
    top1: float
    top1_error: float
    top5: float
    ece: float
    nll: float
    nll_error: float
    entropy: float
    right_flips: float  # % of the frames: the zero-shot answer was wrong and this one is right
    wrong_flips: float
    difference: float  # points of top-1 from the zero-shot answers of the same frames and prototypes
    difference_error: float
    last_quarter: float  # the same difference over the last quarter of each stream
    last_quarter_error: float
    beside: str  # which row it stands beside
    beside_difference: float
    beside_error: float
    views: float
    adapt_seconds: float = 0.0  # a frame, median
    encode_seconds: float = 0.0  # of its views
    adjusted_p: float = 1.0
    verdict: str = ""
    beside_verdict: str = ""
    order: str = "shuffled"
    lessons: int = 0  # of each class, before the stream
    beside_flips: float = 0.0  # % of the frames: one of both is right

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def row(cell: Cell, one: Contender, runs: Sequence[Run], beside: Sequence[Run]) -> Row:
    """`runs` of one contender under several orders; `beside` those of the row that it stands beside, or none."""
    sorted_runs = [run.by_picture() for run in runs]
    right = np.stack([metrics.hits(run) for run in sorted_runs])  # [r, n]
    plain = np.stack([metrics.zero_shot_hits(run) for run in sorted_runs])
    every = np.concatenate([run.scores for run in runs])
    top1, top1_error = metrics.over_orders(right)
    gain, gain_error = metrics.over_orders(right - plain)
    late, late_error = _last_quarter(runs)
    losses = [metrics.negative_log_likelihood(run.scores, run.label) for run in sorted_runs]
    nll, nll_error = metrics.over_orders(np.stack(losses))
    made = Row(
        **asdict(cell),
        contender=str(one),
        pictures=len(runs[0]),
        orders=len(runs),
        classes=every.shape[1],
        top1=100 * top1,
        top1_error=100 * top1_error,
        top5=100 * _mean(metrics.hits(run, 5).mean() for run in runs),
        ece=100 * _mean(metrics.calibration_error(run.scores, run.label) for run in runs),
        nll=nll,
        nll_error=nll_error,
        entropy=float(metrics.entropy(every).mean()),
        right_flips=100 * float((right > plain).mean()),
        wrong_flips=100 * float((right < plain).mean()),
        difference=100 * gain,
        difference_error=100 * gain_error,
        last_quarter=100 * late,
        last_quarter_error=100 * late_error,
        beside="",
        beside_difference=0.0,
        beside_error=0.0,
        views=_mean(run.views.mean() for run in runs),
    )
    if one.beside is not None and beside:
        made.beside = str(one.beside)
        differences = _stand_beside(right, np.stack([metrics.hits(run.by_picture()) for run in beside]))
        mean, error = metrics.over_orders(differences)
        made.beside_difference, made.beside_error = 100 * mean, 100 * error
        made.beside_flips = 100 * float(np.abs(differences).mean())
    return made


def _last_quarter(runs: Sequence[Run]) -> tuple[float, float]:
    """The gain over the last quarter of each stream, and its standard error."""
    parts = list[metrics.Numbers]()
    for run in runs:
        some = slice(-max(1, len(run) // 4), None)
        parts.append(metrics.hits(run)[some] - metrics.zero_shot_hits(run)[some])
    return _mean(part.mean() for part in parts), metrics.mean_and_error(np.concatenate(parts))[1]


def _stand_beside(right: metrics.Numbers, other: metrics.Numbers) -> metrics.Numbers:
    """The difference of hits [r, n]; without a memory there is one run, beside every order."""
    if len(other) in (1, len(right)):
        return right - other
    return right.mean(0, keepdims=True) - other.mean(0, keepdims=True)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def judge_rows(rows: Sequence[Row]) -> None:
    """Fills in the verdicts: one family of tests, all rows of the table. In place."""
    tested = [one for one in rows if one.contender != "zero_shot"]
    flips = [one.pictures * (one.right_flips + one.wrong_flips) / 100 for one in tested]
    family = [(one.difference, one.difference_error, some) for one, some in zip(tested, flips)]
    for one, judged in zip(tested, verdicts.judge_family(family)):
        one.adjusted_p, one.verdict = judged
    stood = [one for one in rows if one.beside]
    family = [(one.beside_difference, one.beside_error, one.pictures * one.beside_flips / 100) for one in stood]
    for one, (_, verdict) in zip(stood, verdicts.judge_family(family)):
        one.beside_verdict = verdict
