"""Why do tuned prompts change no answer? How far a step moves the logits, and which way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tta_service.core.catalogue import strategies

from .finding import Cells, Finding, Gain
from .ground import Ground
from .steps import CONFIDENT, Step, steps_of
from .streams import play

RATES = (0.001, 0.005, 0.02, 0.05, 0.2)  # 0.005 is the published one


def steps(ground: Ground) -> Finding:
    rows: list[Cells] = []
    conclusions: list[str] = []
    for name in ground.sets:
        few = ground.few(name)
        for cell in ground.first_cells(name):
            stream = ground.stream(cell, ground.pictures, ground.views)
            stream = replace(stream, rows=stream.rows[: ground.tuned], labels=stream.labels[: ground.tuned])
            for rate in RATES if few else RATES[1:4:2]:
                asked: dict[str, Any] = {"tpt": _tpt(rate), "true label": None}
                if rate in RATES[1:4:2]:
                    asked |= {"c_tpt": _tpt(rate, "c_tpt")}
                if rate == RATES[1]:
                    asked |= {"tpt, 4 steps": _tpt(rate, steps=4)}
                for what, strategy in asked.items():
                    some = steps_of(stream, strategy, rate, ground.folder)
                    rows.append({"set": name, "shift": cell.shown, "tuned by": what, "rate": f"{rate:g}"} | _row(some))
            conclusions.append(_conclude(name, cell.shown, rows))
    done = (
        f"{ground.tuned} pictures a cell, {ground.views} views, one step unless said. *Margin*: how far the zero-shot "
        "answer's logit stands above the next, median; *moves*: the largest change of a centred logit, median. "
        "*Entropy*: what the step is for, of the mean of the confident views, after less before. *Towards the truth*: "
        "change of the true class's log-probability, in nats. *True label*: the same step, same rate, on the "
        "cross-entropy of the true label instead: what these words could do if one knew."
    )
    return Finding("Why do tuned prompts change no answer?", done, rows, conclusions)


def _conclude(name: str, shown: str, rows: list[Cells]) -> str:
    mine = [row for row in rows if (row["set"], row["shift"]) == (name, shown)]
    usual = next(row for row in mine if row["tuned by"] == "tpt" and row["rate"] == f"{RATES[1]:g}")
    ways = {(row["tuned by"], row["rate"]): row["towards the truth"] for row in mine}
    good = [f"{what} at {rate}" for (what, rate), gain in ways.items() if isinstance(gain, Gain) and gain.sign > 0]
    bad = [f"{what} at {rate}" for (what, rate), gain in ways.items() if isinstance(gain, Gain) and gain.sign < 0]
    return (
        f"* {name}, {shown}: at the published rate a logit moves by {usual['moves']:.2f}, beside a margin of "
        f"{usual['margin']:.2f}. Towards the truth, beyond two standard errors: {', '.join(good) or 'nothing'}; away "
        f"from it: {', '.join(bad) or 'nothing'}."
    )


def _row(some: list[Step]) -> dict[str, object]:
    return {
        "margin": float(np.median([one.margin for one in some])),
        "moves": float(np.median([one.moved for one in some])),
        "entropy": Gain.of(np.array([one.sharper for one in some])),
        "changed %": 100 * float(np.mean([one.changed for one in some])),
        "to right / wrong": f"{sum(one.corrected for one in some)} / {sum(one.broken for one in some)}",
        "towards the truth": Gain.of(np.array([one.towards_truth for one in some])),
    }


def _tpt(rate: float, name: str = "tpt", **parameters: int) -> Any:
    return strategies.build(name, {"learning_rate": rate, "confident": CONFIDENT, **parameters})


ALONG = (
    (5e-4, 0.99),
    (5e-4, 0.9),
    (5e-3, 0.99),
    (5e-3, 0.9),
)  # rate and momentum of `swap_prompt`, published-like first


LONGEST = 150  # frames: a step for each is expensive


def along(ground: Ground) -> Finding | None:
    """`swap_prompt` learns along the stream; where classes are many a frame is too expensive to ask this."""
    rows: list[Cells] = []
    for name in ground.sets:
        if not ground.few(name):
            continue
        for cell in ground.cells(name)[:2]:
            stream = ground.stream(cell, min(LONGEST, ground.pictures), ground.views)
            for rate, momentum in ALONG:
                made = strategies.build("swap_prompt", {"learning_rate": rate, "momentum": momentum})
                one = play(stream, made, ground.folder)
                sure = 100 * float(one.sure.mean() - one.plain_sure.mean())
                rows.append(
                    {
                        "set": name,
                        "shift": cell.shown,
                        "rate": f"{rate:g}",
                        "momentum": momentum,
                        "changed %": one.changed,
                    }
                    | {"gain": one.gain, "confidence, points": sure}
                )
    if not rows:
        return None
    moved = [
        f"{row['set']}, {row['shift']}, rate {row['rate']}, momentum {row['momentum']}" for row in rows if _moves(row)
    ]
    conclusions = [f"* Beyond two standard errors: {'; '.join(moved) or 'no row'}."]
    done = (
        f"Streams of {min(LONGEST, ground.pictures)} frames; the first row of each is the default. Points from "
        "zero-shot, paired."
    )
    return Finding("`swap_prompt`: is it the rate, or the slow average that answers?", done, rows, conclusions)


def _moves(row: Cells) -> bool:
    gain = row["gain"]
    return isinstance(gain, Gain) and gain.sign != 0
