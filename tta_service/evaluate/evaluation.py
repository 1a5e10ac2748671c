"""Every strategy on one set of pictures: encoded once, replayed in every order, after every number of lessons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadImage, Unsupported
from ..core.labels import LabelSet, TextSpace
from ..core.strategy import is_teachable
from .cells import Cell
from .contenders import Contender
from .features import FeatureExtractor, views_by_augmentation
from .pictures import PictureSet
from .replay import Take
from .rows import Row, judge_rows, row
from .runs import Run
from .streams import Places, Split, Stream, make_streams, split_pictures
from .study import PLAIN, Player, Rows, Study, features_of, make_frame_reader

Advance = Callable[[str, int, int], object]  # task, so many more, of how many


@dataclass(frozen=True)
class Plan:
    """What is evaluated. Its pictures are asked about with the templates of `data`."""

    data: PictureSet
    contenders: tuple[Contender, ...]  # plain CLIP first
    shifts: tuple[tuple[str, int], ...] = ()  # beside the clean pictures
    orders: tuple[str, ...] = ("shuffled",)
    repetitions: int = 3  # of each order that is drawn
    lessons: tuple[int, ...] = (0,)  # of each class
    count: int = 0  # pictures, 0: all
    seed: int = 0
    guard: bool = True  # answers as the service gives them, see the request's option

    @property
    def cells(self) -> list[Cell]:
        """The clean pictures first."""
        return [Cell(self.data.name), *(Cell(self.data.name, *shift) for shift in self.shifts)]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One strategy in one cell, order and number of lessons: its streams' answers, and what they are worth."""

    cell: Cell
    contender: Contender
    row: Row
    streams: list[Stream]
    runs: list[Run]

    @property
    def order(self) -> str:
        """Of the streams."""
        return self.row.order

    @property
    def title(self) -> str:
        """The strategy, and what it was taught."""
        return f"{self.contender}, {self.lessons} lessons" if self.lessons else str(self.contender)

    @property
    def lessons(self) -> int:
        """Of each class."""
        return self.row.lessons

    @property
    def labels(self) -> NDArray[np.int64]:
        """[f] of the frames of all streams."""
        return np.concatenate([run.label for run in self.runs])

    @property
    def scores(self) -> NDArray[np.float32]:
        """[f, c] of the same frames."""
        return np.concatenate([run.scores for run in self.runs])


@dataclass(eq=False)
class Evaluation:
    """The outcomes of a plan, and what they were made with."""

    plan: Plan
    extractor: FeatureExtractor
    chosen: Places  # pictures that could be read
    measured: Places
    encoded: Mapping[Cell, Rows]
    text: TextSpace
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    left_out: list[str] = field(default_factory=list[str])  # sentences


def evaluate(player: Player, plan: Plan, work: Path, advance: Advance, decoders: int = 2) -> Evaluation:
    """What was encoded or played before, and is in the folder `work`, is not made again.

    Raises ValueError for pictures that do not suffice, `BadImage` where none can be read.
    """
    data, clip = plan.data, player.runtime.clip
    extractor = FeatureExtractor(clip, {data.name: data}, work / "features", plan.seed, decoders, player.runtime.decode)
    wanted = data.choose(plan.count or len(data), plan.seed)
    encoded = _encode(extractor, plan, wanted, advance)
    chosen = np.array([i for i in wanted.tolist() if (data.name, i) not in extractor.unreadable], np.int64)
    unread = [f"{data.where(i)}: {why}" for (_, i), why in extractor.unreadable.items()]
    if not len(chosen):
        raise BadImage(f"no picture of {data.name} can be read: {unread[0] if unread else 'there is none'}", "data")
    split = split_pictures(data, chosen, max(plan.lessons), plan.seed)
    text = player.runner.run(player.runtime.text_spaces.get(make_label_set(plan)))
    made = Evaluation(plan, extractor, chosen, split.measured, encoded, text, left_out=unread)
    study = Study(extractor, player, work / "answers")
    _play(made, study, list(_jobs(plan, split)), advance)
    row_seconds = extractor.seconds_a_row(plan.cells[0], rounds=2)
    for outcome in made.outcomes:
        outcome.row.encode_seconds = outcome.row.views * row_seconds
        outcome.row.adapt_seconds = float(np.median(np.concatenate([run.seconds for run in outcome.runs])))
    judge_rows([outcome.row for outcome in made.outcomes])
    return made


def _encode(extractor: FeatureExtractor, plan: Plan, wanted: Places, advance: Advance) -> dict[Cell, Rows]:
    most = views_by_augmentation(plan.contenders)
    total = len(plan.cells) * len(wanted) * (1 + sum(most.values()))

    def tell(rows: int) -> None:
        advance("encoding views", rows, total)

    found: dict[Cell, Rows] = {}
    for cell in plan.cells:
        plain = {PLAIN: extractor.rows(cell, "crop", 1, wanted, tell)}
        found[cell] = plain | {how: extractor.rows(cell, how, count, wanted, tell) for how, count in most.items()}
    return found


Job = tuple[Cell, str, int, Contender, list[Stream]]


def _play(made: Evaluation, study: Study, jobs: Sequence[Job], advance: Advance) -> None:
    frames = len(made.measured) * sum(len(streams) for *_, streams in jobs)
    for cell, order, lessons, one, streams in jobs:
        takes = [_take(study, cell, one, made.encoded[cell], stream, made.plan) for stream in streams]
        try:
            study.play(cell, takes, lambda n: advance("replaying", n, frames))
        except Unsupported as error:
            made.left_out.append(f"{one}: {error}")
            continue
        runs = [Run.load(take.path) for take in takes]
        worth = replace(row(cell, one, runs, []), order=order, lessons=lessons)
        made.outcomes.append(Outcome(cell, one, worth, streams, runs))


def _jobs(plan: Plan, split: Split) -> Iterator[Job]:
    """Every cell, order, number of lessons and strategy, with the streams. What lessons do not change is there once."""
    for cell, order, lessons, one in product(plan.cells, plan.orders, plan.lessons, plan.contenders):
        if lessons > min(plan.lessons) and not is_teachable(one.build()):
            continue
        if one.remembers:
            streams = make_streams(plan.data, split, order, plan.repetitions, lessons, plan.seed)
        else:  # it answers alike in every order
            streams = [Stream("alone", 0, split.measured, split.measured[:0])]
        yield cell, order, lessons, one, streams


def _take(study: Study, cell: Cell, one: Contender, rows: Rows, stream: Stream, plan: Plan) -> Take:
    data, picture, plain = plan.data, stream.picture, rows[PLAIN]
    path = study.path(cell, one, f"{stream.name(data)}{'-guarded' if plan.guard else ''}-seed{plan.seed}")
    taught = stream.taught.tolist() if is_teachable(one.build()) else []
    lessons = tuple((plain.rows(i, 1), int(data.labels[i])) for i in taught)
    reader = make_frame_reader(features_of(one, rows), picture, one.needs.views)
    return Take(one, reader, picture, data.labels[picture], path, lessons=lessons, guard=plan.guard)


def make_label_set(plan: Plan) -> LabelSet:
    """What identifies the pictures."""
    return LabelSet(plan.data.names, plan.data.templates)
