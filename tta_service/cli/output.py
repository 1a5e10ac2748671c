"""Answers on a terminal (a table), in a pipe (plain lines), or for a program (JSON)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text
from torch import Tensor

from ..core.request import Report
from .text import json_line

Show = Callable[[Report], None]
TOP = 5  # scores in a JSON line


@contextmanager
def open_output(as_json: bool) -> Iterator[Show]:
    """A context with a function that shows a report: as JSON, in a table on a terminal, as a plain line elsewhere."""
    if as_json:
        escaped = not (sys.stdout.encoding or "").lower().startswith("utf")  # so that no letter of a label becomes "?"
        yield lambda report: print(json_line(to_json(report), escaped), flush=True)
    elif not sys.stdout.isatty():
        yield lambda report: print("\t".join(_cells(report)), flush=True)
    else:
        table = Table("file", "label", "score", "zero-shot", "strategy")
        with Live(table, refresh_per_second=4):
            yield lambda report: table.add_row(*map(Text, _cells(report)))  # a label is no markup


def _cells(report: Report) -> tuple[str, ...]:
    (best, *_), (plain, *_) = _scores(report, report.logits), _scores(report, report.zero_shot)
    if best["label"] == plain["label"] and best["index"] != plain["index"]:  # classes of one name
        for one in (best, plain):
            one["label"] += f" #{one['index']}"
    zero_shot = f"{plain['label']} {plain['score']:.3f}"
    return report.request.request_id, best["label"], f"{best['score']:.3f}", zero_shot, report.strategy.name


def to_json(report: Report) -> dict[str, Any]:
    """A report as JSON can carry it, with the best `TOP` scores; times in seconds."""
    top, zero_shot = _scores(report, report.logits)[:TOP], _scores(report, report.zero_shot)[:TOP]
    return {
        "file": report.request.request_id,
        "label": top[0]["label"],
        "index": top[0]["index"],
        "score": top[0]["score"],
        "top": top,
        "zero_shot": zero_shot,
        "strategy": {"name": report.strategy.name, "parameters": asdict(report.strategy)},  # type: ignore[call-overload]
        "views": report.views,
        "seconds": {stage: round(seconds, 5) for stage, seconds in report.seconds.items()},
        "unseen": list(report.unseen),
    }


def _scores(report: Report, logits: Tensor) -> list[dict[str, Any]]:
    """Best first, equal ones in the order of the labels."""
    scores = logits.double().softmax(-1)
    order = scores.argsort(descending=True, stable=True).tolist()
    return [{"label": report.request.labels.names[i], "index": i, "score": float(scores[i])} for i in order]
