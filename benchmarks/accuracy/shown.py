"""The table as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tta_service.evaluate.rows import Row

from .pooled import Pooled
from .table import Table

EXPLAINED = """\
Top-1 and its differences are in points of 100, ± one standard error; a difference is paired with the zero-shot answers
of the same pictures under the same text prototypes. **helps**, **hurts**: more than two standard errors from nothing,
and significant at 5 % by Holm over all rows of the table. *beside* names the row that a contender must beat to be worth
its views: `mean` of the same views, or the same cache fed with one view. ECE has 20 bins over the whole cell, on the
returned softmax; NLL floors a share at 1e-6. *flips* are answers that adapting changed, to the right one and away from
it. *last ¼* is the difference over the last quarter of the streams. A strategy without memory answers the
same in every order and is streamed once. Strategies with several views see the first `--count-views` pictures only,
and so does the one-view form beside a cache; differences are of the same pictures always. Milliseconds are
of the clock, of one stream alone."""


def save(table: Table, folder: Path, name: str, about: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"about": dict(about), "pooled": [asdict(one) for one in table.pooled()]}
    whole |= {"rows": [one.as_dict() for one in table.rows]}
    (folder / f"{name}.json").write_text(json.dumps(_round_floats(whole), indent=1) + "\n")
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(_round_floats([one.as_dict() for one in table.rows]))
    (folder / f"{name}.md").write_text(markdown(table, about))


def markdown(table: Table, about: Mapping[str, Any]) -> str:
    lines = ["# Does adapting help?", "", about.get("command", ""), "", EXPLAINED, ""]
    lines += [f"{key}: {value}  " for key, value in about.items() if key != "command"]
    lines += ["", "## In short", "", *summary(table.pooled(), table.rows), ""]
    for cell in table.runs:
        inside = [one for one in table.rows if table.cell_of(one) == cell]
        reduced = "" if cell.reducer == "none" else f", {cell.reducer}"
        lines += [f"## {cell.set}, {cell.shown}{reduced}: {inside[0].pictures} pictures", "", *detail(inside), ""]
    return "\n".join(lines)


def summary(pooled: Sequence[Pooled], rows: Sequence[Row]) -> list[str]:
    """One line a contender: its difference in every group of cells, its ECE, its cost."""
    groups = list(dict.fromkeys((one.set, one.over) for one in pooled))
    found = {(one.contender, one.set, one.over): one for one in pooled}
    heads = [f"{name} {over}" for name, over in groups]
    lines = [f"| strategy | views | ms adapt | {' | '.join(heads)} |", "|---" * (3 + len(groups)) + "|"]
    for contender in dict.fromkeys(one.contender for one in pooled):
        mine = [one for one in rows if one.contender == contender]
        cost = sum(one.adapt_seconds for one in mine) / len(mine)
        cells = [_short(found[contender, *group]) for group in groups if (contender, *group) in found]
        lines.append(f"| `{contender}` | {mine[0].views:.0f} | {1e3 * cost:.1f} | {' | '.join(cells)} |")
    return lines


def _short(one: Pooled) -> str:
    if one.contender == "zero_shot":
        return f"{one.top1:.1f}, ECE {one.ece:.1f}"
    counts = ", ".join(f"{n} {word}" for n, word in ((one.helps, "help"), (one.hurts, "hurt")) if n)
    bold = "**" if abs(one.difference) > 2 * one.difference_error else ""
    cell = f"{bold}{one.difference:+.1f}{bold} ± {one.difference_error:.1f}, ECE {one.ece:.1f}"
    return f"{cell} ({counts} of {one.cells})" if counts and one.cells > 1 else cell


def detail(rows: Iterable[Row]) -> list[str]:
    heads = (
        "strategy",
        "orders",
        "top-1",
        "from zero-shot",
        "",
        "last ¼",
        "beside",
        "difference",
        "flips right / wrong",
    )
    heads += ("top-5", "ECE", "NLL", "entropy", "rows", "ms encode + adapt")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in rows:
        cells = (
            f"`{one.contender}`",
            str(one.orders),
            f"{one.top1:.1f} ± {one.top1_error:.1f}",
            f"{one.difference:+.1f} ± {one.difference_error:.1f}" if one.contender != "zero_shot" else "",
            f"**{one.verdict}**" if one.verdict else "",
            f"{one.last_quarter:+.1f} ± {one.last_quarter_error:.1f}" if one.contender != "zero_shot" else "",
            f"`{one.beside}`" if one.beside else "",
            f"{one.beside_difference:+.1f} ± {one.beside_error:.1f} {one.beside_verdict}".strip() if one.beside else "",
            f"{one.right_flips:.1f} / {one.wrong_flips:.1f}",
            f"{one.top5:.1f}",
            f"{one.ece:.1f}",
            f"{one.nll:.2f}",
            f"{one.entropy:.2f}",
            f"{one.views:.0f}",
            f"{1e3 * one.encode_seconds:.0f} + {1e3 * one.adapt_seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _round_floats(value: Any) -> Any:
    """Five digits are more than any of this is known to."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _round_floats(inner) for key, inner in value.items()}
    return [_round_floats(inner) for inner in value] if isinstance(value, list) else value
