"""What a strategy says about pictures of lessons that it has not learnt: the scores that calibrate it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...core.evidence import Evidence
from ...core.labels import TextSpace
from ...core.lessons import Lesson
from ...core.strategy import Strategy, apply_fit, is_teachable
from ...guard import add_guard
from .adaptation import faults_of
from .learning import learn

FEWEST, MOST = 4, 10  # folds
FRAMES = 128  # recent ones that the memory has seen before it learns: lessons alone would be another world


def cross_fit(
    strategy: Strategy[Any],
    text: TextSpace,
    lessons: Sequence[Lesson],
    wanted: Sequence[Lesson],
    recent: Sequence[Tensor] = (),
) -> Generator[None, None, list[Tensor]]:
    """Logits [c] of each of the `wanted` lessons' pictures, from a memory that has learnt all others but its fold's.

    `lessons` are all that it learns, the wanted ones among them; `recent` [1 or 2, d] are frames without a lesson. A
    fold holds lessons of all classes alike: without one, a class of few lessons would look worse than it is. A step
    for each fold, since others may want the lane. Raises `ModelFault` if the strategy fails.
    """
    logits = [torch.empty(0)] * len(wanted)
    for places in folds(wanted):
        held_out = {wanted[place].number for place in places}
        rest = [lesson for lesson in lessons if lesson.number not in held_out]
        memory = make_memory(strategy, text, rest, recent)
        with faults_of(strategy), torch.no_grad():
            for place in places:
                answer, memory = strategy.adapt(_evidence(wanted[place].example.views, text), memory)
                logits[place] = answer.detach().float().cpu()
        yield
    return logits


def make_memory(
    strategy: Strategy[Any], text: TextSpace, lessons: Sequence[Lesson], recent: Sequence[Tensor] = ()
) -> Any:
    """A memory that has seen the last of the `recent` frames [1 or 2, d], has learnt the lessons and is fitted."""
    with faults_of(strategy), torch.no_grad():
        memory = strategy.begin(text)
        for views in recent[-FRAMES:]:
            _, memory = strategy.adapt(_evidence(views, text), memory)
    if not is_teachable(strategy):
        return memory
    memory = learn(strategy, text, lessons, add_guard(memory, text)).memory
    with faults_of(strategy), torch.no_grad():
        return apply_fit(memory, strategy.fit(memory, text))


def zero_shot_logits(text: TextSpace, lessons: Sequence[Lesson]) -> Tensor:
    """[n, c] of the lessons' plain views."""
    return torch.stack([_evidence(one.example.views[:1], text).logits()[0].float().cpu() for one in lessons])


def folds(lessons: Sequence[Lesson]) -> list[list[int]]:
    """Places of the lessons, dealt out by class."""
    by_class = sorted(range(len(lessons)), key=lambda place: (lessons[place].label or "", place))
    classes = len({lesson.label for lesson in lessons})
    count = min(len(lessons), max(FEWEST, min(MOST, len(lessons) // max(1, classes))))
    return [sorted(by_class[fold::count]) for fold in range(count)]


def _evidence(views: Tensor, text: TextSpace) -> Evidence:
    return Evidence(normalize(views.to(text.features.device, text.features.dtype), dim=-1), text)
