"""The report as one HTML file, which needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from ..evaluation import Evaluation, Outcome
from ..results import EXPLAINED, describe, make_table, sort_rows
from ..rows import Row
from . import charts
from .confused import confused_table
from .gallery import choose_outcomes, final_outcomes, gallery

FEW = 30  # classes of which a matrix can be read
GUARDED = " The service's guard was on: a memory without lessons that does harm did not answer."
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # nothing is loaded from anywhere
ABOUT = (
    "data",
    "pictures",
    "classes",
    "templates",
    "model",
    "model_hash",
    "data_hash",
    "version",
    "date",
    "processor",
    "seed",
)


def make_page(made: Evaluation, command: str) -> str:
    """The whole page."""
    style = files("tta_service.evaluate.report").joinpath("style.css").read_text("utf-8")
    title = f"Evaluation of {made.plan.data.name}"
    body = "".join(_sections(made, command))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def _sections(made: Evaluation, command: str) -> Iterator[str]:
    about = describe(made, command)
    rows = [outcome.row for outcome in made.outcomes]
    yield f'<header><h1>{escape(made.plan.data.name)}</h1><p class="lead">{_summary(rows)}</p></header>'
    yield from _gains(made)
    yield from _lessons(made)
    final = final_outcomes(made.outcomes)
    if plot := charts.costs([outcome.row for outcome in final]):
        yield f"<h2>What it costs</h2>{plot}"
    yield "<h2>Can the confidence be believed?</h2>"
    yield "<p>A dot on the line is right as often as it says; below it, less.</p>"
    yield f'<div class="small-multiples">{"".join(map(charts.calibration, final))}</div>'
    yield from _confusion(made, final)
    if chosen := choose_outcomes(made.outcomes):
        yield "<h2>Which answers changed</h2>"
        yield "<p>The surest of the changed answers. Under a picture: its class, plain CLIP's answer, the new one and "
        yield "its score; then the most certain of the views that were looked at.</p>"
        yield from (gallery(made, outcome) for outcome in chosen)
    yield f'<h2>All numbers</h2><div class="scroll">{_table(rows)}</div>'
    yield f'<p class="soft">{escape(EXPLAINED)}{GUARDED if made.plan.guard else ""}</p>'
    yield "<h2>How it was made</h2><dl>"
    for key in ABOUT:
        value = about[key]
        shown = " · ".join(value) if isinstance(value, list) else str(value)
        yield f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(shown)}</dd>"
    yield "</dl>"
    yield from (f'<p class="soft">Left out: {escape(sentence)}</p>' for sentence in about["left_out"])
    yield f"<p>Run it again:</p><pre>{escape(command)}</pre>"


def _summary(rows: Sequence[Row]) -> str:
    plain = rows[0]
    best = max((row for row in rows if row.verdict == "helps"), key=lambda row: row.difference, default=None)
    start = f"Plain CLIP is right on <b>{plain.top1:.1f} %</b> of {plain.pictures} pictures of {plain.classes} classes."
    if best is None:
        return f"{start} No strategy is better by more than chance may do."
    where = "" if best.shift == "none" else f" under {escape(best.shift)}"
    after = f" after {best.lessons} lessons of each class" if best.lessons else ""
    gain = f"<b>{best.difference:+.1f} ± {best.difference_error:.1f}</b> points"
    cost = f"{1e3 * (best.encode_seconds + best.adapt_seconds):.0f} ms a picture"
    return f"{start} Most is gained{where} by <code>{escape(best.contender)}</code>{after}: {gain}, at {cost}."


def _groups(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, int], list[Outcome]]:
    found: dict[tuple[str, str, int], list[Outcome]] = {}
    for one in outcomes:
        found.setdefault((one.cell.shown, one.order, one.lessons), []).append(one)
    return found


def _gains(made: Evaluation) -> Iterator[str]:
    yield "<h2>What adapting gains</h2><p>Points of accuracy from plain CLIP on the same pictures; lines are two "
    yield "standard errors. Filled dots are beyond chance, with Holm's correction over all rows.</p>"
    groups = _groups(made.outcomes)
    least = min(made.plan.lessons)
    for (shown, order, lessons), some in groups.items():
        if lessons > least:
            continue
        names = [shown] + ([f"order: {order}"] if len(made.plan.orders) > 1 else [])
        if len(groups) > 1:
            plain = next((f", plain CLIP {one.row.top1:.1f} %" for one in some if one.row.contender == "zero_shot"), "")
            yield f"<h3>{escape(', '.join(names))}{plain}</h3>"
        yield charts.gains([one.row for one in some])


def _lessons(made: Evaluation) -> Iterator[str]:
    if len(made.plan.lessons) < 2:
        return
    yield "<h2>What lessons are worth</h2>"
    yield "<p>A person's word about some pictures of each class, which are not measured.</p>"
    pairs = dict.fromkeys((one.cell, one.order) for one in made.outcomes)
    for cell, order in pairs:
        if len(pairs) > 1:
            yield f"<h3>{escape(cell.shown)}{f', order: {order}' if len(made.plan.orders) > 1 else ''}</h3>"
        yield charts.lessons([one.row for one in made.outcomes if (one.cell, one.order) == (cell, order)])


def _confusion(made: Evaluation, final: Sequence[Outcome]) -> Iterator[str]:
    names = made.plan.data.names
    best = max(final, key=lambda one: one.row.difference)
    pair = [final[0]] if best is final[0] else [final[0], best]
    yield "<h2>What is taken for what</h2>"
    if len(names) <= FEW:
        yield f'<div class="pair">{"".join(charts.confusion(one, names) for one in pair)}</div>'
    else:
        yield f'<div class="pair">{"".join(confused_table(one, names) for one in pair)}</div>'


def _table(rows: Sequence[Row]) -> str:
    heads, *table = make_table(rows)
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    body = "".join(
        f'<tr class="{row.verdict}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for row, cells in zip(sort_rows(rows), table)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
