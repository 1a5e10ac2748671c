"""Accuracy against cost, and how far confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from tta_service.evaluate.metrics import reliability

from .pooled import Pooled
from .table import Table
from .teach import Row

MARKS = "os^vDPX*<>ph"


def cost(table: Table) -> Figure:
    """One panel for each group of cells, one point for each strategy × reducer; the line is zero-shot, unreduced.

    Differences, because not every contender sees equally many pictures; a reducer's own cost to zero-shot is in them.
    """
    pooled = table.pooled()
    groups = list(dict.fromkeys((one.set, one.over.partition(",")[0]) for one in pooled))
    figure, axes = plt.subplots(1, len(groups), figsize=(4.6 * len(groups), 4.4), squeeze=False, layout="constrained")
    for axis, (name, over) in zip(axes[0], groups):
        inside = [one for one in pooled if one.set == name and one.over.partition(",")[0] == over]
        for place, one in enumerate(inside):
            plain = _unreduced(one, pooled)
            reducer = one.over.removeprefix(plain.over).removeprefix(", ") or "none"
            mine = [row for row in table.rows if (row.set, row.contender) == (name, one.contender)]
            mine = [row for row in mine if row.reducer == reducer and (row.severity == 0) == (over == "clean")]
            axis.errorbar(
                1e3 * np.mean([row.encode_seconds + row.adapt_seconds for row in mine]),
                one.difference + one.zero_shot - plain.zero_shot,
                one.difference_error,
                fmt=MARKS[place % len(MARKS)],
                color=f"C{place % 10}",
                label=one.contender if reducer == "none" else f"{one.contender}, {reducer}",
            )
        axis.axhline(0, color="0.6", linewidth=1, zorder=0)
        axis.set(xscale="log", xlabel="ms a picture, encoding and adapting", title=f"{name}, {over}")
    axes[0][0].set_ylabel("points of top-1 from zero-shot on the same pictures")
    axes[0][-1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _unreduced(one: Pooled, pooled: Sequence[Pooled]) -> Pooled:
    """The same cells without its reducer, where they were measured."""
    return min((other for other in pooled if other.set == one.set and one.over.startswith(other.over)), key=_length)


def _length(one: Pooled) -> int:
    return len(one.over)


def diagrams(table: Table) -> Figure:
    """Reliability of every contender over all cells of the table; perfect calibration is the diagonal."""
    names = [str(one) for one in table.contenders]
    columns = 6
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(1.9 * columns, 1.9 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names):
        axis.plot((0, 1), (0, 1), color="0.7", linewidth=1)
        for color, part in enumerate(dict.fromkeys(cell.set for cell in table.runs)):
            runs = [run for cell, by_contender in table.runs.items() if cell.set == part for run in by_contender[name]]
            sure = np.concatenate([run.scores.max(1) for run in runs])
            right = np.concatenate([run.scores.argmax(1) == run.label for run in runs])
            # two columns stand for the whole softmax: the winner, and whether it is right
            bins = reliability(np.stack([sure, np.zeros_like(sure)], 1), np.where(right, 0, 1))
            axis.scatter(
                [x for x, _, _ in bins], [y for _, y, _ in bins], s=[4 + 120 * share for _, _, share in bins],
                color=f"C{color}", alpha=0.6, label=part,
            )  # fmt: skip
        axis.set_title(name, fontsize=7)
        axis.tick_params(labelsize=6)
    axes[0][0].legend(fontsize=5)
    figure.supxlabel("confidence", fontsize=8)
    figure.supylabel("accuracy", fontsize=8)
    return figure


def lessons(rows: Sequence[Row]) -> Figure:
    """One panel for each set: the mean top-1 of its cells against the lessons of a class, right ones if there are."""
    rows = [row for row in rows if not row.wrong] or rows
    sets = list(dict.fromkeys(row.set for row in rows))
    figure, axes = plt.subplots(1, len(sets), figsize=(4.2 * len(sets), 3.6), squeeze=False, layout="constrained")
    for panel, name in zip(axes[0], sets):
        some = [row for row in rows if row.set == name]
        counts = sorted({row.lessons for row in some})
        for mark, strategy in zip(MARKS, dict.fromkeys(row.strategy for row in some)):
            top1 = [np.mean([r.top1 for r in some if (r.strategy, r.lessons) == (strategy, n)]) for n in counts]
            panel.plot(range(len(counts)), top1, marker=mark, label=strategy)
        panel.set(
            title=name, xlabel="lessons a class", ylabel="top-1, %", xticks=range(len(counts)), xticklabels=counts
        )
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=90)
    plt.close(figure)
