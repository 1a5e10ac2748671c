"""All judgements together, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tta_service.evaluate import metrics
from tta_service.evaluate.cells import Cell

from .judge import Judgement


@dataclass
class Verdict:
    """Over all cells of one deadline; a picture under several shifts is one picture."""

    deadline: float | None
    cells: int
    zero_shot: float
    advised: float
    most_expensive: float
    oracle: float  # always the best strategy of the cell, which is not known beforehand
    from_zero_shot: float
    from_zero_shot_error: float
    from_most_expensive: float
    from_most_expensive_error: float
    cost_ratio: float  # the advised one's seconds to the most expensive one's


def verdicts(found: Sequence[tuple[Judgement, NDArray[np.float64]]]) -> list[Verdict]:
    made = []
    for deadline in dict.fromkeys(one.deadline for one, _ in found):
        mine = [(one, hits) for one, hits in found if one.deadline == deadline]
        rows, gains = [one for one, _ in mine], {}
        for place, name in ((0, "zero_shot"), (2, "most_expensive")):
            means, errors = [], []
            for part in dict.fromkeys(one.set for one in rows):
                apart = np.mean([hits[1] - hits[place] for one, hits in mine if one.set == part], axis=0)
                mean, error = metrics.mean_and_error(apart)
                means.append(mean)
                errors.append(error)
            gains[name] = (100 * float(np.mean(means)), 100 * float(np.sqrt(np.square(errors).sum())) / len(errors))
        made.append(
            Verdict(
                deadline,
                len(rows),
                float(np.mean([one.zero_shot for one in rows])),
                float(np.mean([one.advised for one in rows])),
                float(np.mean([one.most_expensive for one in rows])),
                float(np.mean([one.best for one in rows])),
                gains["zero_shot"][0],
                gains["zero_shot"][1],
                gains["most_expensive"][0],
                gains["most_expensive"][1],
                float(np.sum([one.seconds for one in rows]) / np.sum([one.most_expensive_seconds for one in rows])),
            )
        )
    return made


def sentence(one: Verdict) -> str:
    """Whether it pays: better than always plain CLIP, and than always the most expensive at half its cost at most."""
    better = one.from_zero_shot > 2 * one.from_zero_shot_error
    apart = f"{one.from_zero_shot:+.2f} ± {one.from_zero_shot_error:.2f} points"
    text = f"it {'beats' if better else 'does not beat'} always plain CLIP ({apart})"
    cheap, expensive = one.cost_ratio <= 0.5, one.from_most_expensive > 2 * one.from_most_expensive_error
    apart = f"{one.from_most_expensive:+.2f} ± {one.from_most_expensive_error:.2f} points"
    apart += f" at {one.cost_ratio:.0%} of its cost"
    beats = "beats" if expensive and cheap else "does not beat"
    text += f", and {beats} always the most expensive at half its cost ({apart})"
    pays = "pays" if better and expensive and cheap else "does not pay"
    return f"Deadline {_deadline(one.deadline)}: {text}. The advice {pays}."


def markdown(found: Sequence[tuple[Judgement, NDArray[np.float64]]]) -> list[str]:
    rows = [one for one, _ in found]
    heads = ("deadline", "cells", "plain", "advised", "most expensive", "best known afterwards", "advised − plain")
    heads += ("advised − most expensive", "cost of the most expensive")
    lines = [f"| {' | '.join(heads)} |"]
    lines.append("|---" * 9 + "|")
    for one in verdicts(found):
        means = " | ".join(f"{value:.1f}" for value in (one.zero_shot, one.advised, one.most_expensive, one.oracle))
        apart = f"{one.from_zero_shot:+.2f} ± {one.from_zero_shot_error:.2f}"
        apart += f" | {one.from_most_expensive:+.2f} ± {one.from_most_expensive_error:.2f}"
        lines += [f"| {_deadline(one.deadline)} | {one.cells} | {means} | {apart} | {one.cost_ratio:.0%} |"]
    lines += ["", *(f"* {sentence(one)}" for one in verdicts(found))]
    lines += [
        "",
        "| cell | deadline | recommended | believed | plain | advised | most expensive | best |",
        "|---" * 8 + "|",
    ]
    for one in rows:
        lines.append(
            f"| {one.set} {Cell(one.set, one.shift, one.severity).shown} | {_deadline(one.deadline)} | `{one.chosen}` "
            f"| {one.believed:+.1f} | {one.zero_shot:.1f} | {one.advised:.1f} | {one.most_expensive:.1f} "
            f"| {one.best:.1f} `{one.best_name}` |"
        )
    return lines


def _deadline(seconds: float | None) -> str:
    return "none" if seconds is None else f"{1e3 * seconds:.0f} ms"


def as_dicts(found: Sequence[tuple[Judgement, NDArray[np.float64]]]) -> dict[str, Any]:
    return {"verdicts": [asdict(one) for one in verdicts(found)], "rows": [asdict(one) for one, _ in found]}
