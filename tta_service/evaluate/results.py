"""An evaluation as JSON and CSV, and as the text of a terminal."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from .cells import show_shift
from .evaluation import Evaluation, Outcome
from .rows import Row

FORMAT = "tta-evaluation-1"
HEADS = ("strategy", "shift", "order", "lessons", "top-1", "from plain CLIP", "", "ECE", "views", "ms")
EXPLAINED = """\
top-1 in percent; the difference from plain CLIP in points, paired by picture, ± one standard error. "helps" and "hurts"
are beyond two standard errors and significant at 5 % after Holm's correction over all rows. ECE has 20 bins. ms: of
encoding the views and of adapting, a picture."""


def version_of() -> str:
    """The package's version, and its commit where that is known."""
    try:
        made = distribution("tta-service")
        version, origin = made.version, json.loads(made.read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        version, origin = "0", {}
    commit = origin.get("vcs_info", {}).get("commit_id", "") or _checkout()
    return f"{version} ({commit[:12]})" if commit else version


def _checkout() -> str:
    """The commit of the working tree that the package lies in; "" outside of one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def describe(made: Evaluation, command: str) -> dict[str, Any]:
    """What the outcomes were made with."""
    plan, clip = made.plan, made.extractor.clip
    data = plan.data
    content = sorted(f"{data.digest(i)} {data.names[data.labels[i]]}" for i in made.measured.tolist())
    return {
        "command": command,
        "version": version_of(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "model": clip.name,
        "model_hash": clip.fingerprint,
        "data": data.name,
        "data_hash": hashlib.sha256("\n".join(content).encode()).hexdigest()[:32],
        "pictures": len(made.measured),
        "taught_from": len(made.chosen) - len(made.measured),
        "classes": len(data.names),
        "templates": list(data.templates),
        "seed": plan.seed,
        "guard": plan.guard,
        "processor": f"{clip.device}, {platform.machine()}",
        "left_out": made.left_out,
    }


def to_json(made: Evaluation, command: str) -> dict[str, Any]:
    """All of it for programs, and for `compare`: what was predicted for every picture, by its hash."""
    data = made.plan.data
    pictures = made.measured.tolist()
    place = {picture: number for number, picture in enumerate(pictures)}
    return {
        "format": FORMAT,
        "about": describe(made, command),
        "classes": list(data.names),
        "pictures": [{"id": data.digest(i), "where": data.where(i), "label": int(data.labels[i])} for i in pictures],
        "rows": [_rounded(outcome.row.as_dict()) for outcome in made.outcomes],
        "answers": [
            {
                **_key(outcome),
                "streams": [
                    {
                        "picture": [place[i] for i in run.picture.tolist()],
                        "predicted": run.scores.argmax(1).tolist(),
                        "confidence": [round(one, 4) for one in run.scores.max(1).tolist()],
                    }
                    for run in outcome.runs
                ],
            }
            for outcome in made.outcomes
        ],
    }


def _key(outcome: Outcome) -> dict[str, Any]:
    cell = outcome.cell
    return {
        "strategy": str(outcome.contender),
        "shift": cell.shift,
        "severity": cell.severity,
        "order": outcome.order,
        "lessons": outcome.lessons,
    }


def to_csv(made: Evaluation) -> str:
    """A line for every prediction."""
    data, text = made.plan.data, io.StringIO()
    heads = ["picture", "id", "label", "strategy", "shift", "severity", "order", "lessons", "repetition", "position"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "predicted", "confidence", "zero_shot", "right"])
    for outcome in made.outcomes:
        key = _key(outcome).values()
        for stream, run in zip(outcome.streams, outcome.runs):
            for position, (picture, label, scores, zero_shot) in enumerate(
                zip(run.picture.tolist(), run.label.tolist(), run.scores, run.zero_shot.tolist())
            ):
                best = int(scores.argmax())
                where = data.where(picture), data.digest(picture), data.names[label]
                answer = data.names[best], f"{scores[best]:.4f}", data.names[zero_shot], int(best == label)
                writer.writerow([*where, *key, stream.number, position, *answer])
    return text.getvalue()


def text_lines(made: Evaluation) -> Iterator[str]:
    """For people to read: what was looked at, the table, what the columns mean."""
    about = describe(made, "")
    yield f"{about['pictures']} pictures of {about['classes']} classes in {about['data']}, model {about['model']}"
    yield ""
    yield from align(make_table([outcome.row for outcome in made.outcomes]))
    yield ""
    yield EXPLAINED
    for sentence in made.left_out:
        yield f"left out: {sentence}"


def make_table(rows: Sequence[Row]) -> list[list[str]]:
    """Heads and cells for people, the best strategies of each group first. Columns that are all alike are left out."""
    cells = [HEADS, *(_row_cells(row) for row in sort_rows(rows))]
    kept = [
        place
        for place, head in enumerate(HEADS)
        if head not in ("shift", "order", "lessons") or len({row[place] for row in cells[1:]}) > 1
    ]
    return [[row[place] for place in kept] for row in cells]


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of cells, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def sort_rows(rows: Sequence[Row]) -> list[Row]:
    """Plain CLIP first in every shift, order and number of lessons, then by gain."""
    groups = list(dict.fromkeys((one.shift, one.severity, one.order, one.lessons) for one in rows))

    def rank(one: Row) -> tuple[int, bool, float]:
        group = (one.shift, one.severity, one.order, one.lessons)
        return groups.index(group), one.contender != "zero_shot", -one.difference

    return sorted(rows, key=rank)


def _row_cells(one: Row) -> tuple[str, ...]:
    """What the table shows of a row, in the order of `HEADS`."""
    plain = one.contender == "zero_shot"
    return (
        one.contender,
        show_shift(one.shift, one.severity),
        one.order,
        str(one.lessons),
        f"{one.top1:.1f} ± {one.top1_error:.1f}",
        "" if plain else f"{one.difference:+.1f} ± {one.difference_error:.1f}",
        one.verdict,
        f"{one.ece:.1f}",
        f"{one.views:.0f}",
        f"{1e3 * one.encode_seconds:.1f} + {1e3 * one.adapt_seconds:.1f}",
    )


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in values.items()}
