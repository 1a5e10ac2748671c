"""Defaults from evidence: candidates against the published default, on the tune split and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tta_service.evaluate import metrics
from tta_service.evaluate.cells import Cell
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.corruptions import TUNING
from tta_service.evaluate.runs import Run

from .arguments import with_views
from .sweep import Sweep

FILE = Path(__file__).with_name("candidates.toml")
MOST = 10
SEVERITY = 3


@dataclass
class Choice:
    """One candidate; its differences are from the published default of its strategy, paired, in points."""

    strategy: str
    candidate: str
    top1: float  # mean over the cells of all sets
    difference: float
    difference_error: float
    worst_cell: float
    verdict: str = ""


def candidates(file: Path = FILE, views: int = 0) -> dict[str, tuple[Contender, ...]]:
    """By strategy, the published default first. Raises ValueError for more than may be tried, or unequal budgets.

    `views`: for all that take 64 by default, 0: as they are.
    """
    found: dict[str, tuple[Contender, ...]] = {}
    for name, texts in tomllib.loads(file.read_text())["candidates"].items():
        some = tuple(Contender.of(text) for text in texts)
        if len(some) > MOST or any(one.strategy != name for one in some):
            raise ValueError(f"{file.name}: {name} has at most {MOST} candidates of its own, the published one first")
        found[name] = tuple(Contender.of(with_views(text, views)) for text in texts)
    if len({len(some) for some in found.values()}) > 1:
        budgets = ", ".join(f"{name} {len(some)}" for name, some in found.items())
        raise ValueError(f"{file.name}: the budget must be the same for each, and is {budgets}")
    return found


def cells(sets: Iterable[str]) -> list[Cell]:
    """Clean, and the corruptions that no table measures."""
    return [
        cell for name in sets for cell in (Cell(name), *(Cell(name, shift, SEVERITY) for shift in TUNING))
    ]  # fmt: skip


def measure(
    study: Sweep, strategies: Sequence[str] = (), file: Path = FILE, views: int = 0
) -> tuple[list[Choice], dict[str, dict[Cell, list[Run]]]]:
    """Every candidate of the strategies (none named: of all), and the runs of each."""
    wished = {name: some for name, some in candidates(file, views).items() if not strategies or name in strategies}
    contenders = tuple(one for some in wished.values() for one in some)
    runs: dict[str, dict[Cell, list[Run]]] = {str(one): {} for one in contenders}
    wished_cells = cells(study.extractor.sets)
    with tqdm(total=study.frames(wished_cells, contenders), unit="frame", smoothing=0.02) as bar:
        for cell, by_contender in study.play_cells(wished_cells, contenders, bar.update):
            for name, one_by_one in by_contender.items():
                runs[name][cell] = one_by_one
    return [choice for some in wished.values() for choice in judge_candidates(some, runs)], runs


def judge_candidates(some: Sequence[Contender], runs: Mapping[str, Mapping[Cell, Sequence[Run]]]) -> list[Choice]:
    """The published default stays unless a candidate is better by two standard errors; the best of those is taken."""
    published, found = runs[str(some[0])], []
    for one in some:
        gains, errors, tops = [], [], []
        for name in dict.fromkeys(cell.set for cell in published):
            mine = [cell for cell in published if cell.set == name]
            right = np.mean([_hits(runs[str(one)][cell]) for cell in mine], axis=0)  # [r, n] mean over the shifts
            gain, error = metrics.over_orders(right - np.mean([_hits(published[cell]) for cell in mine], axis=0))
            gains.append(gain)
            errors.append(error)
            tops.append(right.mean())
        worst = min((_hits(runs[str(one)][cell]) - _hits(published[cell])).mean() for cell in published)
        error = float(np.sqrt(np.square(errors).sum()) / len(errors))
        found.append(
            Choice(
                one.strategy,
                str(one),
                100 * float(np.mean(tops)),
                100 * float(np.mean(gains)),
                100 * error,
                100 * float(worst),
            )
        )
    better = [one for one in found if one.difference > 2 * one.difference_error > 0]
    best = max(better, key=lambda one: one.difference, default=found[0])
    best.verdict = "stays" if best is found[0] else "better"
    return found


def _hits(runs: Sequence[Run]) -> np.ndarray:
    return np.stack([metrics.hits(run.by_picture()) for run in runs])


def markdown(choices: Sequence[Choice], about: Mapping[str, Any]) -> str:
    lines = ["# Defaults from evidence", "", str(about["command"]), "", __doc__ or "", ""]
    lines += [f"{key}: {value}  " for key, value in about.items() if key != "command"]
    lines += ["", "| candidate | top-1 | from the published default | worst cell | |", "|---" * 5 + "|"]
    shown: set[str] = set()  # the published default comes first
    for one in choices:
        difference = "published" if one.strategy not in shown else f"{one.difference:+.2f} ± {one.difference_error:.2f}"
        shown.add(one.strategy)
        bold = f"**{one.verdict}**" if one.verdict else ""
        lines.append(f"| `{one.candidate}` | {one.top1:.2f} | {difference} | {one.worst_cell:+.1f} | {bold} |")
    return "\n".join(lines) + "\n"


def as_dicts(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    return [asdict(one) for one in choices]
