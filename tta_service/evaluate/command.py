"""The work of the command `evaluate`: from its words to an evaluation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..clip.text.templates import expand_templates
from ..core.errors import BadRequest
from ..settings import Settings
from ..strategies import catalogue as strategies
from .contenders import TAUGHT, Contender, limit_views, split_strategies
from .corruptions import strength
from .evaluation import Evaluation, Plan, Progress, evaluate
from .layouts import IMAGENET_C
from .papers import Paper, choose_protocols, find_paper, find_sets, load_papers, make_plans, protocol_lines
from .pictures import PictureSet
from .replay import WIDE
from .sources import read_data
from .stand_ins import write_stand_in
from .streams import parse_lessons, parse_orders, parse_shifts
from .study import open_player

Configure = Callable[[Mapping[str, Any]], Settings]


@dataclass(frozen=True)
class Wish:
    """What was asked for, as it was written."""

    data: str
    cache: Path
    command: str
    strategies: str = "all"
    labels: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    order: str = "shuffled"
    repeat: int = 3
    lessons: str = "0"
    templates: tuple[str, ...] = ()
    count: int | None = None  # pictures, 0: all; None: 500, or all of a paper's sets
    views: int = 64
    seed: int = 0
    guard: bool = True


def make_plan(wish: Wish, data: PictureSet) -> Plan:
    """The plan for these pictures. Raises `BadRequest`, `BadLabels`, `UnknownStrategy`, `BadParameters`."""
    if wish.templates:
        data = data.templated(expand_templates(wish.templates))
    if len(data.names) < 2:
        raise BadRequest(f"{data.name}: there is one class, {', '.join(data.names)}; --labels names more", "labels")
    try:
        lessons = parse_lessons(wish.lessons)
        shifts = tuple(
            dict.fromkeys(one for one in parse_shifts(wish.shifts) if one[0] != "none")
        )  # clean ones are there
        for shift in shifts:
            strength(*shift)
        return Plan(
            data,
            choose_contenders(wish.strategies, wish.views, max(lessons) > 0),
            shifts,
            parse_orders(wish.order),
            wish.repeat,
            lessons,
            500 if wish.count is None else wish.count,
            wish.seed,
            wish.guard,
        )
    except ValueError as error:
        raise BadRequest(str(error), "evaluate") from None


def choose_contenders(text: str, views: int, lessons: bool) -> tuple[Contender, ...]:
    """Plain CLIP first; `all` stands for the whole catalogue, without those that do nothing before a lesson."""
    every = [name for name in strategies.names() if lessons or name not in TAUGHT]
    if not text.strip(" ,;"):
        raise BadRequest("--strategies names none; `all` is every one", "strategies")
    words = [name for word in split_strategies(text) for name in (every if word == "all" else [word])]
    found = [limit_views(Contender.of(word), views) for word in ["zero_shot", *words]]
    return tuple({one.digest: one for one in found}.values())


def run_evaluation(configure: Configure, wish: Wish, progress: Progress) -> Evaluation:
    """Raises `TTAError`, `BadSettings`."""
    settings = configure({**WIDE, "batch.max_rows": 64})
    plan = make_plan(wish, read_data(wish.data, wish.cache, wish.labels))
    return _evaluate(settings, plan, wish.cache / "evaluate", progress)


def _evaluate(settings: Settings, plan: Plan, work: Path, progress: Progress) -> Evaluation:
    cores = os.cpu_count() or 1
    with open_player(settings, streams=cores) as player:
        try:
            return evaluate(player, plan, work, progress, decoders=cores)
        except ValueError as error:  # pictures that are too few or too small
            raise BadRequest(str(error), "data") from None


def run_paper(configure: Configure, wish: Wish, name: str, dry_run: bool, progress: Progress) -> Iterator[str]:
    """Lines: ours beside the paper's and those of others; `dry_run`: on made-up pictures, with the bundled model.

    Without a model in the settings it is the paper's. Raises `TTAError`, `BadSettings`.
    """
    if name == "list":
        yield from (f"{paper.name}: {paper.about}" for paper in load_papers()[0].values())
        return
    paper = find_paper(name)
    settings = _configure_paper(configure, paper, dry_run)
    yield paper.about + (" A dry run on made-up pictures: the figures mean nothing." if dry_run else "")
    yield ""
    with tempfile.TemporaryDirectory() as nowhere:
        if dry_run:
            _write_stand_ins(paper, Path(nowhere))
            wish = replace(wish, data=nowhere, cache=Path(nowhere))
        yield from _run_protocols(settings, wish, paper, dry_run, progress)
    yield "Top-1 in percent, ± one standard error. A paper's figure is to be compared with its own plain CLIP."
    yield from (f"{rerun.name}: {rerun.about}" for rerun in load_papers()[1])


def _run_protocols(settings: Settings, wish: Wish, paper: Paper, dry_run: bool, progress: Progress) -> Iterator[str]:
    model, cores = settings.model.name, os.cpu_count() or 1
    protocols = choose_protocols(paper, model)
    sets, missing = find_sets(protocols, Path(wish.data))
    yield from (f"left out: {sentence}" for sentence in missing if not dry_run)
    with open_player(settings, cores) as player:
        for protocol in protocols:
            plans = make_plans(protocol, sets, wish.count or 0, dry_run)
            made = [evaluate(player, plan, wish.cache / "evaluate", progress, cores) for plan in plans]
            yield from protocol_lines(paper, protocol, made, model)


def _write_stand_ins(paper: Paper, root: Path) -> None:
    """Of the 75 parts of ImageNet-C two."""
    names = {name for one in paper.protocols for name in one.by_set()}
    for name in names - set(IMAGENET_C[2:]):
        write_stand_in(name, root)


def _configure_paper(configure: Configure, paper: Paper, dry_run: bool) -> Settings:
    wide = {**WIDE, "batch.max_rows": 64}
    if dry_run:
        return configure({**wide, "model.name": "pocket", "model.pretrained": "", "model.checkpoint": ""})
    given = {".".join(one.knob): one.where for one in configure(wide).describe()}
    own = {"model.name": paper.protocols[0].model, "model.pretrained": "openai"}
    return configure(wide if given["model.name"] or given["model.checkpoint"] else wide | own)
