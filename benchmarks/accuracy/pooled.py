"""Several cells of a set taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tta_service.evaluate import metrics
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.rows import Row
from tta_service.evaluate.runs import Run


@dataclass
class Pooled:
    """One contender over several cells of a set: a picture under several shifts is one picture."""

    contender: str
    set: str
    over: str  # which cells
    cells: int
    zero_shot: float
    top1: float
    difference: float
    difference_error: float
    ece: float
    zero_shot_ece: float
    helps: int  # cells with that verdict
    hurts: int
    beside: str = ""
    beside_difference: float = 0.0
    beside_error: float = 0.0


def pool(
    one: Contender, name: str, over: str, runs: Mapping[Cell, Sequence[Run]], table: Mapping[tuple[Cell, str], Row],
    beside: Mapping[Cell, Sequence[Run]],
) -> Pooled:  # fmt: skip
    """`runs` by cell; the cells hold the same pictures."""
    gains, others = [], []
    for cell, some in runs.items():
        played = [run.by_picture() for run in some]
        right = np.stack([metrics.hits(run) for run in played])
        gains.append(right - np.stack([metrics.zero_shot_hits(run) for run in played]))
        if beside[cell]:
            other = np.stack([metrics.hits(run.by_picture()) for run in beside[cell]])
            others.append(right.mean(0) - other.mean(0))
    rows = [table[cell, str(one)] for cell in runs]
    plain = [table[cell, "zero_shot"] for cell in runs]
    mean, error = metrics.over_orders(np.mean(gains, axis=0))
    made = Pooled(
        contender=str(one),
        set=name,
        over=over,
        cells=len(rows),
        zero_shot=float(np.mean([row.top1 for row in plain])),
        top1=float(np.mean([row.top1 for row in rows])),
        difference=100 * mean,
        difference_error=100 * error,
        ece=float(np.mean([row.ece for row in rows])),
        zero_shot_ece=float(np.mean([row.ece for row in plain])),
        helps=sum(row.verdict == "helps" for row in rows),
        hurts=sum(row.verdict == "hurts" for row in rows),
    )
    if others:
        mean, error = metrics.mean_and_error(np.mean(others, axis=0))
        made.beside, made.beside_difference, made.beside_error = str(one.beside), 100 * mean, 100 * error
    return made
