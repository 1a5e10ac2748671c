"""The work of the command `evaluate`: from its words to an evaluation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..clip.text.templates import expand_templates
from ..core.errors import BadRequest
from ..settings import Settings
from ..strategies import catalogue as strategies
from .contenders import TAUGHT, Contender, limit_views, split_strategies
from .corruptions import strength
from .evaluation import Advance, Evaluation, Plan, evaluate
from .layouts import IMAGENET_C
from .papers import Paper, choose_protocols, find_paper, find_sets, load_papers, make_plans, protocol_lines
from .pictures import PictureSet
from .replay import WIDE
from .sources import read_data
from .stand_ins import write_stand_in
from .streams import parse_lessons, parse_orders, parse_shifts
from .study import open_player

Configure = Callable[[Mapping[str, Any]], Settings]
SETTINGS: dict[str, Any] = {**WIDE, "batch.max_rows": 64}
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of the command, as they were written."""

    data: str
    cache: Path
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


def make_plan(options: EvaluationOptions, data: PictureSet) -> Plan:
    """The plan for these pictures. Raises `BadRequest`, `BadLabels`, `UnknownStrategy`, `BadParameters`."""
    if options.templates:
        data = data.with_templates(expand_templates(options.templates))
    if len(data.names) < 2:
        raise BadRequest(f"{data.name}: there is one class, {', '.join(data.names)}; --labels names more", "labels")
    lessons = _parse("lessons", parse_lessons, options.lessons)
    return Plan(
        data,
        choose_contenders(options.strategies, options.views, max(lessons) > 0),
        _parse("shift", _parse_shifts, options.shifts),
        _parse("order", parse_orders, options.order),
        options.repeat,
        lessons,
        500 if options.count is None else options.count,
        options.seed,
        options.guard,
    )


def _parse(field: str, parse: Callable[[T], U], text: T) -> U:
    """What an option says. Raises `BadRequest` with its name."""
    try:
        return parse(text)
    except ValueError as error:
        raise BadRequest(str(error), field) from None


def _parse_shifts(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Each once, without the clean pictures, which are there anyway. Raises ValueError."""
    shifts = tuple(dict.fromkeys(one for one in parse_shifts(texts) if one[0] != "none"))
    for shift in shifts:
        strength(*shift)
    return shifts


def choose_contenders(text: str, views: int, lessons: bool) -> tuple[Contender, ...]:
    """Plain CLIP first; `all` stands for the whole catalogue, without those that do nothing before a lesson."""
    every = [name for name in strategies.names() if lessons or name not in TAUGHT]
    if not text.strip(" ,;"):
        raise BadRequest("--strategies names none; `all` is every one", "strategies")
    words = [name for word in split_strategies(text) for name in (every if word == "all" else [word])]
    found = [limit_views(Contender.of(word), views) for word in ["zero_shot", *words]]
    return tuple({one.digest: one for one in found}.values())


def run_evaluation(configure: Configure, options: EvaluationOptions, advance: Advance) -> Evaluation:
    """Raises `TTAError`, `BadSettings`."""
    settings = configure(SETTINGS)
    plan = make_plan(options, read_data(options.data, options.cache, options.labels))
    return _evaluate(settings, plan, options.cache / "evaluate", advance)


def _evaluate(settings: Settings, plan: Plan, work: Path, advance: Advance) -> Evaluation:
    cores = os.cpu_count() or 1
    with open_player(settings, streams=cores) as player:
        try:
            return evaluate(player, plan, work, advance, decoders=cores)
        except ValueError as error:  # pictures that are too few or too small
            raise BadRequest(str(error), "data") from None


def run_paper(
    configure: Configure, options: EvaluationOptions, name: str, dry_run: bool, advance: Advance
) -> Iterator[str]:
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
            options = replace(options, data=nowhere, cache=Path(nowhere))
        yield from _run_protocols(settings, options, paper, dry_run, advance)
    yield "Top-1 in percent, ± one standard error. A paper's figure is to be compared with its own plain CLIP."
    yield from (f"{rerun.name}: {rerun.about}" for rerun in load_papers()[1])


def _run_protocols(
    settings: Settings, options: EvaluationOptions, paper: Paper, dry_run: bool, advance: Advance
) -> Iterator[str]:
    model, cores = settings.model.name, os.cpu_count() or 1
    protocols = choose_protocols(paper, model)
    sets, missing = find_sets(protocols, Path(options.data))
    yield from (f"left out: {sentence}" for sentence in missing if not dry_run)
    with open_player(settings, cores) as player:
        for protocol in protocols:
            plans = make_plans(protocol, sets, options.count or 0, dry_run)
            made = [evaluate(player, plan, options.cache / "evaluate", advance, cores) for plan in plans]
            yield from protocol_lines(paper, protocol, made, model)


def _write_stand_ins(paper: Paper, root: Path) -> None:
    """Of the 75 parts of ImageNet-C two."""
    names = {name for one in paper.protocols for name in one.by_set()}
    for name in names - set(IMAGENET_C[2:]):
        write_stand_in(name, root)


def _configure_paper(configure: Configure, paper: Paper, dry_run: bool) -> Settings:
    if dry_run:
        return configure({**SETTINGS, "model.name": "pocket", "model.pretrained": "", "model.checkpoint": ""})
    given = {".".join(one.knob): one.where for one in configure(SETTINGS).describe()}
    own = {"model.name": paper.protocols[0].model, "model.pretrained": "openai"}
    return configure(SETTINGS if given["model.name"] or given["model.checkpoint"] else SETTINGS | own)
