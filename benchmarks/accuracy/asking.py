"""What is it worth to choose the frames that people are asked about? Accuracy of `taught` after so many answers.

A stream of pictures, one a second, is answered by `taught`; whoever asks gets the label at once, and the memory learns
it. *asking* is the service's own rule with its quarter of frames drawn by chance, *margin* and *coverage* the same with
one of its two factors, *random* asks about frames drawn by chance alone, as many. Top-1 on other pictures of the cell,
that no memory sees, in percent: the mean over orders, and the difference from random with its standard error over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from tta_service.confidence.asking import distance_to, margin_worth, worth
from tta_service.core.catalogue import reducers
from tta_service.core.catalogue import strategies as catalogue
from tta_service.core.evidence import Evidence
from tta_service.core.lessons import Example, Lesson
from tta_service.core.memory import map_tensors
from tta_service.core.reducer import Reduction
from tta_service.core.request import PixelFormat, Raw, Report, Request, SessionStatus
from tta_service.core.strategy import Strategy, apply_fit
from tta_service.serving.sessions.asking import HOUR, SessionAsking
from tta_service.serving.sessions.lessons import LessonBook
from tta_service.serving.sessions.memory import QuestionTotals
from tta_service.serving.sessions.questions import QuestionBook

from .teach import World

RANDOM = "random"
RULES: dict[str, Callable[[Tensor, Tensor, Tensor], float]] = {
    "asking": worth,
    "margin": lambda logits, feature, known: margin_worth(logits),
    "coverage": lambda logits, feature, known: distance_to(feature, known),
}
MEASURED = 500  # pictures at most
NOTHING = Raw(1, 1, PixelFormat.RGB24, bytes(3))


@dataclass(frozen=True)
class AskRow:
    """One rule in a cell, after so many answers."""

    set: str
    shown: str
    rule: str
    answers: int
    orders: int  # in which so many were asked
    pictures: int
    top1: float
    gain: float  # over random, points
    error: float  # of the gain
    classes: float  # with a lesson


def measure(world: World, rules: Sequence[str], counts: Sequence[int], frames: int, orders: int) -> Iterator[AskRow]:
    """`counts` of answers, increasing; the largest is the budget for a stream of `frames`."""
    found = dict[tuple[str, int, int], tuple[float, float]]()
    for order in range(orders):
        places = np.random.default_rng(order).permutation(len(world.labels))
        frames = min(frames, len(places) // 2)
        stream, measured = places[:frames].tolist(), places[frames:][:MEASURED].tolist()
        for rule in rules:
            for count, result in _play(world, rule, counts, stream, measured, order):
                found[rule, count, order] = result
    for count in counts:
        for rule in rules:
            both = [one for one in range(orders) if {(rule, count, one), (RANDOM, count, one)} <= found.keys()]
            if not both:
                continue
            own = np.array([found[rule, count, one] for one in both])
            gains = own[:, 0] - np.array([found[RANDOM, count, one][0] for one in both])
            error = float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else float("nan")
            top1, classes = (float(one) for one in own.mean(0))
            about = world.cell.set, world.cell.shown, rule, count, len(both), min(MEASURED, len(world.labels) - frames)
            yield AskRow(*about, 100 * top1, 100 * float(gains.mean()), 100 * error, classes)


def _play(
    world: World, rule: str, counts: Sequence[int], stream: Sequence[int], measured: Sequence[int], seed: int
) -> Iterator[tuple[int, tuple[float, float]]]:
    """After each count of answers: top-1, and the number of classes with a lesson."""
    strategy, text, names = catalogue.build("taught", {}), world.text, world.text.labels.names
    memory, book, second = strategy.begin(text), LessonBook(lambda by: None), 0.0
    questions, reduction = QuestionBook(lambda by: None, QuestionTotals(), 0), Reduction(reducers.build("none"))
    asking = SessionAsking(lambda: second, RULES.get(rule, worth))
    drawn = set(np.random.default_rng(seed).permutation(len(stream))[: max(counts)].tolist())
    request = Request(NOTHING, text.labels, strategy, reduction)
    per_hour = HOUR * max(counts) / len(stream)
    for place, picture in enumerate(stream):
        second = float(place)
        features = world.features[picture : picture + 1]
        logits, memory = strategy.adapt(Evidence(features, text), memory)
        report = Report(request, strategy, logits, logits, 1, {}, 1, SessionStatus("s"), example=features.half())
        if rule == RANDOM:
            asked = place in drawn
        elif asked := asking.choose(per_hour, report, book, questions, f"{seed} {place}") is not None:
            asking.count()
        if not asked:
            continue
        label = int(world.labels[picture])
        example = Example(f"e{place}", features.half(), text.labels, reduction, second)
        book.add(Lesson(0, example, names[label], second))
        memory = strategy.teach(Evidence(features, text, time=60.0 * place), label, memory)
        memory = apply_fit(memory, strategy.fit(memory, text))
        if len(book) in counts:
            yield len(book), (_top1(strategy, memory, world, measured), len({one.label for one in book}))


def _top1(strategy: Strategy, memory: object, world: World, measured: Sequence[int]) -> float:
    copied = map_tensors(memory, Tensor.clone)
    right = 0
    with torch.no_grad():
        for place in measured:
            logits, copied = strategy.adapt(Evidence(world.features[place : place + 1], world.text), copied)
            right += int(logits.argmax()) == int(world.labels[place])
    return right / len(measured)


def markdown(rows: Sequence[AskRow]) -> list[str]:
    """One line for each cell and count."""
    rules = list(dict.fromkeys(row.rule for row in rows))
    lines = [f"| set, cell | answers | {' | '.join(rules)} |", "|---" * (len(rules) + 2) + "|"]
    for name, shown, count in dict.fromkeys((row.set, row.shown, row.answers) for row in rows):
        some = {row.rule: row for row in rows if (row.set, row.shown, row.answers) == (name, shown, count)}
        lines.append(f"| {name}, {shown} | {count} | {' | '.join(_cell(some.get(rule)) for rule in rules)} |")
    for rule in rules[1:]:
        gains = [row.gain for row in rows if row.rule == rule]
        lines += ["", f"`{rule}`: {np.mean(gains):+.1f} points over random in the mean of {len(gains)} lines."]
    return lines


def _cell(row: AskRow | None) -> str:
    if row is None:
        return ""
    gain = "" if row.rule == RANDOM else f" ({row.gain:+.1f} ± {row.error:.1f})"
    return f"{row.top1:.1f}{gain}"


def as_dicts(rows: Sequence[AskRow]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]
