"""Does the template that `tta-service advise` finds pay? It looks at some pictures of a cell; the others judge it.

The rule is the service's own (`tta_service/evaluate/advise/templates.py`), beside "a photo of a {}." and with or
without the labels of the pictures that it looks at. Top-1 of plain CLIP in percent, the mean over orders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet, TextSpace
from tta_service.evaluate.advise.templates import judge_templates
from tta_service.evaluate.cells import cells
from tta_service.evaluate.pictures import PLAIN
from tta_service.serving.text.cache import TextSpaceCache

from .setup import about_of, make_extractor, save
from .teach import World, open_world


@dataclass(frozen=True)
class TemplateRow:
    """One cell, with or without labels; percentages."""

    set: str
    shown: str
    labelled: bool
    orders: int
    pictures: int
    default: float
    advised: float
    worst: float  # difference in one order, points
    chosen: dict[str, int]  # how often each was, "" for the default


class Texts:
    """Text spaces by label set, each encoded once."""

    def __init__(self, clip: FrozenCLIP) -> None:
        self._clip, self._made = clip, dict[str, TextSpace]()

    async def get(self, labels: LabelSet) -> TextSpace:
        if labels.id not in self._made:
            self._made[labels.id] = self._clip.text_space(labels)
        return self._made[labels.id]


def measure(world: World, texts: Texts, looked: int, orders: int) -> Iterator[TemplateRow]:
    """It looks at `looked` pictures, or half of them where there are fewer than twice as many."""
    labels = LabelSet(world.text.labels.names, PLAIN)
    for labelled in (True, False):
        found, chosen = list[tuple[float, float]](), Counter[str]()
        for order in range(orders):
            draw = np.random.default_rng(order).permutation(len(world.labels))
            some, others = np.split(draw, [min(looked, len(draw) // 2)])
            truth = world.labels[some].tolist() if labelled else ()
            cache = cast(TextSpaceCache, texts)
            advice = asyncio.run(judge_templates(cache, labels, world.features[some.tolist()], truth))
            chosen[advice.name] += 1
            found.append((_top1(world, texts, labels, others), _top1(world, texts, advice.labels, others)))
        default, advised = np.mean(found, 0).tolist()
        worst = min(two - one for one, two in found)
        about = world.cell.set, world.cell.shown, labelled, orders, len(others)
        yield TemplateRow(*about, default, advised, worst, dict(chosen))


def _top1(world: World, texts: Texts, labels: LabelSet, places: Any) -> float:
    text = asyncio.run(texts.get(labels)).features
    answers = (world.features[places.tolist()] @ text.T).argmax(1).numpy()
    return 100 * float((answers == world.labels[places]).mean())


def run(args: argparse.Namespace) -> int:
    """The mode of the command line."""
    extractor, rows = make_extractor(args), list[TemplateRow]()
    for name in extractor.sets:
        texts = Texts(extractor.clip)
        for cell in cells([name], args.shifts, args.severities, ["none"]):
            rows += measure(open_world(extractor, cell, args.classes, args.each), texts, args.looked, args.orders)
        report = {"about": about_of(args), "rows": [asdict(row) for row in rows]}
        save(args, f"{args.name}.json", json.dumps(report, indent=1))
        lines = ["# Does the template that advise finds pay?", "", about_of(args)["command"], "", __doc__ or "", ""]
        save(args, f"{args.name}.md", "\n".join([*lines, *markdown(rows)]))
    print("\n".join(markdown(rows)))
    return 0


def markdown(rows: Sequence[TemplateRow]) -> list[str]:
    """One line for each cell."""
    lines = ["| set, cell | labels | pictures | default | advised | worst order | chosen |", "|---" * 7 + "|"]
    for row in rows:
        chosen = ", ".join(f"{name or 'the default'} ({count})" for name, count in row.chosen.items())
        cells = [f"{row.set}, {row.shown}", "yes" if row.labelled else "no", str(row.pictures)]
        cells += [f"{row.default:.1f}", f"{row.advised:.1f}", f"{row.worst:+.1f}", chosen]
        lines.append(f"| {' | '.join(cells)} |")
    for labelled in (True, False):
        some = [row for row in rows if row.labelled is labelled]
        least = min(some, key=lambda row: row.advised - row.default)
        kind = "With" if labelled else "Without"
        gain, lost = np.mean([row.advised - row.default for row in some]), least.advised - least.default
        lines += ["", f"{kind} labels: {gain:+.1f} points in the mean of {len(some)} cells, {lost:+.1f} in the worst."]
    return lines
