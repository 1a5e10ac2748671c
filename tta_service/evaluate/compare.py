"""Two evaluations of the same pictures, picture by picture: another model, template, version or seed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import BadRequest
from .cells import show_shift
from .metrics import Numbers, mean_and_error
from .results import FORMAT, align
from .verdicts import judge_family

ABOUT = ("model", "model_hash", "version", "templates", "seed", "guard")  # how an evaluation was made
Key = tuple[str, str, int, str, int]  # strategy, shift, severity, order, lessons


@dataclass
class ComparisonRow:
    """One strategy in both, in percent and points; `difference` is second less first, paired by picture."""

    strategy: str
    shift: str
    severity: int
    order: str
    lessons: int
    first: float
    second: float
    difference: float
    error: float
    adjusted_p: float = 1.0
    verdict: str = ""  # better, worse, or neither


@dataclass(frozen=True)
class Comparison:
    """All strategies that both have, those that one lacks, and how the two were made differently."""

    rows: list[ComparisonRow]
    alone: list[str]
    changed: dict[str, tuple[Any, Any]]


def read_evaluation(path: Path) -> dict[str, Any]:
    """What `tta-service evaluate --json` wrote. Raises `BadRequest`, OSError."""
    try:
        held = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise BadRequest(f"{path} is no evaluation: `tta-service evaluate DATA --json > FILE` writes one", "file")
    try:
        _check_parts(held)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BadRequest(
            f"{path} is a damaged evaluation ({type(error).__name__}: {error}); write it anew", "file"
        ) from error
    return held


def _check_parts(held: Mapping[str, Any]) -> None:
    """Raises what reading raises where something is missing or does not fit."""
    dict(held["about"])
    hits = _hits(held)
    classes, pictures = len(held["classes"]), len(held["pictures"])
    if not hits or not pictures:
        raise ValueError("there are no answers or no pictures")
    for one in held["pictures"]:
        if not 0 <= one["label"] < classes:
            raise ValueError(f"label {one['label']} of {classes} classes")


def compare(first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str] = ("A", "B")) -> Comparison:
    """Pairs them by the pictures' hashes. Raises `BadRequest` for other pictures, labels or classes."""
    _check_same(first, second, names)
    one, other = _hits(first), _hits(second)
    rows, family = list[ComparisonRow](), list[tuple[float, float, float]]()
    for key in [key for key in one if key in other]:
        difference, error = mean_and_error(other[key] - one[key])
        means = 100 * float(one[key].mean()), 100 * float(other[key].mean())
        rows.append(ComparisonRow(*key, *means, 100 * difference, 100 * error))
        family.append((difference, error, float(np.abs(other[key] - one[key]).sum())))
    for row, (adjusted, verdict) in zip(rows, judge_family(family)):
        row.adjusted_p, row.verdict = adjusted, {"helps": "better", "hurts": "worse"}.get(verdict, "")
    alone = sorted({f"{key[0]} (only in {names[0]})" for key in one.keys() - other.keys()})
    alone += sorted({f"{key[0]} (only in {names[1]})" for key in other.keys() - one.keys()})
    about = [(key, (first["about"].get(key), second["about"].get(key))) for key in ABOUT]
    return Comparison(rows, alone, {key: both for key, both in about if both[0] != both[1]})


def comparison_lines(made: Comparison, names: Sequence[str]) -> Iterator[str]:
    """For people to read."""
    for key, (one, other) in made.changed.items():
        yield f"{key}: {_short(one)} in {names[0]}, {_short(other)} in {names[1]}"
    if made.changed:
        yield ""
    heads = ("strategy", "shift", "order", "lessons", names[0], names[1], "difference", "")
    table = [heads, *(_cells(row) for row in made.rows)]
    yield from align(table)
    yield ""
    yield f"Top-1 in percent; differences in points, paired by picture, ± one standard error, in {len(made.rows)} rows"
    yield 'by Holm\'s correction: "better" and "worse" are significant at 5 %.'
    if made.alone:
        yield f"Not in both: {', '.join(made.alone)}."


def comparison_json(made: Comparison) -> dict[str, Any]:
    """The same for programs."""
    return {"changed": made.changed, "rows": [asdict(row) for row in made.rows], "alone": made.alone}


def _cells(row: ComparisonRow) -> tuple[str, ...]:
    means = f"{row.first:.1f}", f"{row.second:.1f}", f"{row.difference:+.1f} ± {row.error:.1f}"
    return row.strategy, show_shift(row.shift, row.severity), row.order, str(row.lessons), *means, row.verdict


def _check_same(first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str]) -> None:
    both = f"{names[0]} and {names[1]}"
    if set(first["classes"]) != set(second["classes"]):
        raise BadRequest(
            f"{both} tell different classes apart, {len(first['classes'])} and {len(second['classes'])}", "file"
        )
    counters = [Counter(_identities(held)) for held in (first, second)]  # a picture may be there more than once
    if counters[0] != counters[1]:
        common = (counters[0] & counters[1]).total()
        counts = f"{common} of {len(first['pictures'])} and {len(second['pictures'])} are in both"
        raise BadRequest(f"{both} are of different pictures or labels, and cannot be paired: {counts}", "file")


def _identities(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each picture holds, by its hash, and the name of its class."""
    return [(one["id"], held["classes"][one["label"]]) for one in held["pictures"]]


def _hits(held: Mapping[str, Any]) -> dict[Key, Numbers]:
    """By row, [n] the share of the streams in which a picture is right, in the order of hashes and classes."""
    identities = _identities(held)
    order = sorted(range(len(identities)), key=identities.__getitem__)
    labels = np.array([one["label"] for one in held["pictures"]])
    found: dict[Key, Numbers] = {}
    for answer in held["answers"]:
        if not answer["streams"]:
            raise ValueError("an answer has no streams")
        right = np.zeros((len(answer["streams"]), len(labels)))
        for hits, stream in zip(right, answer["streams"]):
            picture, predicted = np.array(stream["picture"]), np.array(stream["predicted"])
            if picture.shape != predicted.shape:
                raise ValueError(f"{picture.size} pictures and {predicted.size} predictions in a stream")
            hits[picture] = predicted == labels[picture]
        key = answer["strategy"], answer["shift"], answer["severity"], answer["order"], answer["lessons"]
        found[key] = right.mean(0)[order]
    return found


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
