"""What load.py makes of the answers: percentiles, growth, bounds. No I/O here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from load_servers import Look

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")
CAMERA, AGE, DROPPED, ROWS, VIEWS = range(5)  # columns of an answer, then the stages
FIRST = VIEWS + 1
ENCODE, TOTAL = FIRST + STAGES.index("encode"), FIRST + STAGES.index("total")
PERCENTILES = (0.5, 0.95, 0.99)
Answers = Sequence[Sequence[float]]


def percentile(values: Iterable[float], fraction: float) -> float:
    """The value that this fraction of them did not pass; NaN of none."""
    ordered = sorted(values)
    return ordered[math.ceil(fraction * len(ordered)) - 1] if ordered else math.nan


def spread(values: Iterable[float]) -> list[float]:
    """p50, p95, p99."""
    held = list(values)
    return [percentile(held, fraction) for fraction in PERCENTILES]


def ages(answers: Answers) -> dict[str, list[float]]:
    """Seconds, p50, p95, p99: on the server from arrival to answer, on the camera from capture to answer."""
    return {"server": spread(a[TOTAL] for a in answers), "camera": spread(a[AGE] for a in answers)}


def stages(answers: Answers) -> dict[str, list[float]]:
    return {stage: spread(a[FIRST + i] for a in answers) for i, stage in enumerate(STAGES)}


def together(seconds: Iterable[Answers]) -> Answers:
    return [answer for second in seconds for answer in second]


def windows(seconds: Sequence[Answers], width: int) -> list[dict[str, Any]]:
    """The same over time, in windows of `width` seconds."""
    cut = [together(seconds[at : at + width]) for at in range(0, len(seconds), width)]
    return [{"from": width * i, "answers": len(answers), "ages": ages(answers)} for i, answers in enumerate(cut)]


def ends(seconds: Sequence[Answers]) -> dict[str, dict[str, list[float]]]:
    """Ages in the first and in the last minute, of a shorter run in its first and last fifth."""
    width = max(1, min(60, len(seconds) // 5))
    return {"first": ages(together(seconds[:width])), "last": ages(together(seconds[-width:]))}


def forward(answers: Answers, rows: int) -> float:
    """Median seconds of a forward of so many rows, NaN when there was none; jobs that took several do not count."""
    return percentile((a[ENCODE] for a in answers if a[ROWS] == rows and a[VIEWS] <= rows), 0.5)


def medians(answers: Answers) -> dict[str, float]:
    """Seconds in each stage."""
    return {stage: seconds[0] for stage, seconds in stages(answers).items()}


def memory(looks: Sequence[Look]) -> dict[str, float]:
    """Resident megabytes of the server, and how many more they became in a minute (least squares, first fifth left out,
    for caches and allocators fill there)."""
    began = looks[0].at
    steady = [look for look in looks if look.at - began >= (looks[-1].at - began) / 5]
    if len(steady) < 2 or math.isnan(steady[0].rss):
        return {}
    slope = statistics.linear_regression([look.at / 60 for look in steady], [look.rss / 1e6 for look in steady]).slope
    held = [look.rss / 1e6 for look in steady]
    return {"least": min(held), "most": max(held), "first": held[0], "last": held[-1], "per_minute": slope}


def cpu(looks: Sequence[Look]) -> list[tuple[float, float]]:
    """(seconds since the start, cores in use) between two looks at the server."""
    began = looks[0].at
    return [(b.at - began, (b.cpu - a.cpu) / (b.at - a.at)) for a, b in pairwise(looks) if b.at > a.at]


def drops(looks: Sequence[Look]) -> dict[str, int]:
    """Frames that the server dropped meanwhile, by reason."""
    first, last = looks[0].drops, looks[-1].drops
    return {reason: int(count - first.get(reason, 0)) for reason, count in last.items() if count > first.get(reason, 0)}


def bound(fps: float, alone: dict[str, float], batch: float) -> float:
    """Seconds: one frame interval, two full batches, and the request's own decode, look and adapt, measured alone."""
    return 1 / fps + 2 * batch + alone["decode"] + alone["look"] + alone["adapt"]
