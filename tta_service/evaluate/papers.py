"""Published protocols: which strategy, templates and views each paper ran on which set, and the figures it printed.

The figures are in `papers.json`, with those of two benchmarks that ran the same methods again and got other numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..core.errors import BadRequest
from .contenders import Contender, limit_views
from .evaluation import Evaluation, Plan
from .layouts import FINE_GRAINED, IMAGENET_C, IMAGENETS, LAYOUTS, read_standard
from .pictures import PLAIN, PictureSet
from .results import align
from .rows import Row

GROUPS = {"imagenets": IMAGENETS, "fine_grained": FINE_GRAINED, "imagenet_c": IMAGENET_C}
MEANS = {
    "imagenets": IMAGENETS,
    "fine_grained": FINE_GRAINED,
    "imagenet_c": IMAGENET_C,
    "eleven": ("imagenet", *FINE_GRAINED),
}
SHORT = {"imagenet": "IN", "imagenet_a": "A", "imagenet_v2": "V2", "imagenet_r": "R", "imagenet_sketch": "K"}
SHORT |= {
    "imagenets": "mean of these five",
    "fine_grained": "ten fine-grained",
    "imagenet_c": "ImageNet-C",
    "eleven": "IN and the ten",
}
DRY_VIEWS, DRY_PICTURES = 8, 3


@dataclass(frozen=True)
class Protocol:
    """One row of a paper's table: how it was run, and its figures by set or by the mean of some."""

    row: str
    model: str
    templates: str  # "single", or "papers": those of the set
    orders: int
    strategies: Mapping[str, str]  # by set or group of sets
    figures: Mapping[str, float]
    source: str
    note: str = ""

    def by_set(self) -> dict[str, str]:
        """The strategy, with its parameters, on each set."""
        found: dict[str, str] = {}
        for name, strategy in self.strategies.items():
            found |= dict.fromkeys(GROUPS.get(name, (name,)), strategy)
        return found


@dataclass(frozen=True)
class Paper:
    """What one paper's rows need to be run again."""

    name: str
    about: str
    benchmarks_row: str  # its name in the benchmarks that ran it again; "" where they have no row
    protocols: tuple[Protocol, ...]


@dataclass(frozen=True)
class Rerun:
    """A benchmark by others, its figures by model, method, and set or mean of sets."""

    name: str
    about: str
    rows: Mapping[str, Mapping[str, Mapping[str, float]]]

    def figures(self, paper: Paper, model: str) -> Mapping[str, float]:
        """Of a paper's method with that model; none where it was not run."""
        return self.rows.get(model, {}).get(paper.benchmarks_row, {})


@cache
def load_papers() -> tuple[dict[str, Paper], tuple[Rerun, ...], dict[str, str]]:
    """The papers by name, the benchmarks, and what a letter of a source stands for."""
    held = json.loads(files("tta_service.evaluate").joinpath("papers.json").read_text("utf-8"))
    papers = {
        name: Paper(name, one["about"], one["benchmarks_row"], tuple(Protocol(**row) for row in one["protocols"]))
        for name, one in held["papers"].items()
    }
    return papers, tuple(Rerun(name, **one) for name, one in held["benchmarks"].items()), held["sources"]


def find_paper(name: str) -> Paper:
    """Whatever the case of its letters. Raises `BadRequest`."""
    papers = load_papers()[0]
    found = {known.casefold(): paper for known, paper in papers.items()}.get(name.casefold())
    if found is None:
        raise BadRequest(f"--paper {name}: there are protocols of {', '.join(papers)}", "paper")
    return found


def choose_protocols(paper: Paper, model: str) -> list[Protocol]:
    """Those that were run with that model, else those of the paper's first model."""
    found = [one for one in paper.protocols if one.model == model]
    return found or [one for one in paper.protocols if one.model == paper.protocols[0].model]


def find_sets(protocols: Sequence[Protocol], root: Path) -> tuple[list[PictureSet], list[str]]:
    """The sets that are in the folder, and a sentence for each that is not. Raises `BadRequest` where none is."""
    found, missing = list[PictureSet](), list[str]()
    for name in dict.fromkeys(name for one in protocols for name in one.by_set()):
        try:
            found.append(read_standard(name, root))
        except ValueError as error:
            missing.append(str(error))
    if not found:
        raise BadRequest(f"none of the paper's sets is in {root}: {missing[0]}", "data")
    return found, missing


def make_plans(protocol: Protocol, sets: Sequence[PictureSet], count: int, dry: bool) -> Iterator[Plan]:
    """One for each set; strategies as they are, without the guard. Raises `TTAError` for an unknown strategy."""
    strategies = protocol.by_set()
    for data in (data for data in sets if data.name in strategies):
        templates = LAYOUTS[data.name].templates if protocol.templates == "papers" else PLAIN
        one = Contender.of(strategies[data.name])
        if dry:  # two templates show as much as eighty
            templates, one, count = templates[:2], limit_views(one, DRY_VIEWS), DRY_PICTURES
        contenders = (Contender("zero_shot"), one) if one.strategy != "zero_shot" else (one,)
        orders = min(2, protocol.orders) if dry else protocol.orders
        yield Plan(data.with_templates(templates), contenders, repetitions=orders, count=count, guard=False)


def gather(evaluations: Sequence[Evaluation]) -> tuple[dict[str, Row], dict[str, Row]]:
    """The rows of plain CLIP and of the strategy, by set."""
    plain = {one.plan.data.name: one.outcomes[0].row for one in evaluations}
    return plain, {one.plan.data.name: one.outcomes[-1].row for one in evaluations}


def protocol_lines(paper: Paper, protocol: Protocol, evaluations: Sequence[Evaluation], model: str) -> Iterator[str]:
    """A table: ours, the paper's and those of other benchmarks, by set and by the means that all have."""
    plain, ours = gather(evaluations)
    columns = [name for name in SHORT if name in plain]
    columns += [name for name in plain if name not in (*SHORT, *IMAGENET_C)]
    columns += [name for name, members in MEANS.items() if all(one in ours for one in members)]
    yield f"{protocol.row}: {protocol.orders} order{'s' * (protocol.orders > 1)}, {protocol.templates} templates"
    if model != protocol.model:
        yield f"The paper's figures are of {protocol.model}; ours are of {model} and do not compare with them."
    if protocol.note:
        yield f"The paper: {protocol.note}."
    rows = [
        ["plain CLIP, ours", *map(partial(_measured, plain), columns)],
        ["ours", *map(partial(_measured, ours), columns)],
    ]
    rows += [[name, *map(partial(_print, figures), columns)] for name, figures in _published(paper, protocol, model)]
    yield from align([["", *(SHORT.get(name, name) for name in columns)], *rows])
    yield ""


def _published(paper: Paper, protocol: Protocol, model: str) -> Iterator[tuple[str, Mapping[str, float]]]:
    yield f"the paper ({protocol.source})", protocol.figures
    for rerun in load_papers()[1]:
        for ran in dict.fromkeys((protocol.model, model)):
            if figures := rerun.figures(paper, ran):
                yield f"{rerun.name}'s re-run" + (f" with {ran}" if model != protocol.model else ""), figures


def _measured(rows: Mapping[str, Row], name: str) -> str:
    some = [rows[one] for one in MEANS.get(name, (name,))]
    error = float(np.sqrt(sum(row.top1_error**2 for row in some)) / len(some))
    return f"{np.mean([row.top1 for row in some]):.1f} ± {error:.1f}"


def _print(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.1f}" if name in figures else "–"
