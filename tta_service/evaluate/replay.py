"""Features through the engine, as a camera would send its pictures: a stream for each contender and order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..app.parts import Runtime
from ..core.catalogue import reducers, strategies
from ..core.evidence import Evidence
from ..core.labels import LabelSet, TextSpace
from ..core.lessons import LessonRequest
from ..core.reducer import Reduction
from ..core.request import Features, Report, Request
from ..core.strategy import Scope, Strategy
from .contenders import Contender
from .runs import Run

WIDE = {  # what the papers' label sets need beyond the service's defaults
    "limits.templates": 80,
    "limits.names": 21_000,
    "batch.waiting": 4096,
    "text.cache_bytes": 1 << 30,
    "text.activation_bytes": 4 << 30,
    "sessions.session_bytes": 1 << 30,
    "sessions.owner_bytes": 16 << 30,
    "sessions.total_bytes": 16 << 30,
}


@dataclass(frozen=True)
class Take:
    """One stream to play. Where `restarts` says so a frame begins a session of its own, which knows nothing."""

    contender: Contender
    features: Callable[[int], NDArray[np.float32]]  # of frame i, [v, d]
    picture: NDArray[np.int64]  # [m]
    label: NDArray[np.int64]  # [m]
    path: Path  # where the run is kept
    restarts: frozenset[int] = frozenset()
    lessons: tuple[tuple[NDArray[np.float32], int], ...] = ()  # taught before: features [1, d] and a class
    guard: bool = False  # True: as the service answers by default; False: strategies as they are


async def answer_stream(
    runtime: Runtime, request: Request, frames: Iterable[Tensor], lessons: Iterable[tuple[Tensor, str]] = ()
) -> AsyncIterator[Report]:
    """The reports to view features [v, d], one after the other, in a session of their own if the strategy has a memory.

    Its lessons are taught before. Every frame waits for the fits that the one before has made due, so that answers do
    not depend on the speed of the machine. A strategy that is settled early gets no further views, as with a picture.
    Raises what the engine raises.
    """
    engine, session = runtime.engine.without_observer(), ""
    text = await runtime.text_spaces.get(request.labels)
    if request.strategy.needs().memory is Scope.SESSION:
        session = f"evaluate-{secrets.token_hex(8)}"
        request = replace(request, session=session)
    try:
        for features, label in lessons:
            about = LessonRequest(Features(features), label, request.labels, request.reduction)
            await runtime.teaching.teach(request.owner, session, about)
        for rows in frames:
            seen = _first_views(request.strategy, rows, text)
            report = await engine.classify(replace(request, image=Features(seen)))
            if session:
                await runtime.fitter.wait()
            yield report
    finally:
        if session and runtime.sessions.registry.get(request.owner, session):
            runtime.sessions.close(request.owner, session)


def _first_views(strategy: Strategy[Any], rows: Tensor, text: TextSpace) -> Tensor:
    """Of view features [v, d] those that the engine encodes before the strategy is settled."""
    needs = strategy.needs()
    for count in needs.rounds:
        if count < len(rows) and strategy.is_settled(Evidence(rows[:count], text), needs.views):
            return rows[:count]
    return rows


async def play(
    runtime: Runtime,
    labels: LabelSet,
    takes: Sequence[Take],
    streams: int,
    done: Callable[[int], object],
) -> None:
    """Plays what is not kept yet, some streams at a time, and keeps it. `done(frames)` gets the progress."""
    slots = asyncio.Semaphore(streams)

    async def one(take: Take) -> None:
        async with slots:
            edges = sorted({0, *take.restarts, len(take.picture)})
            parts = [await _stream(runtime, labels, take, range(a, b), done) for a, b in pairwise(edges)]
            await asyncio.to_thread(_join(parts).save, take.path)

    try:
        async with asyncio.TaskGroup() as group:
            for take in takes:
                if Run.is_kept(take.path, len(take.picture)):
                    done(len(take.picture))
                else:
                    group.create_task(one(take))
    except* Exception as several:
        raise several.exceptions[0] from None


async def _stream(runtime: Runtime, labels: LabelSet, take: Take, frames: range, done: Callable[[int], object]) -> Run:
    contender = take.contender
    request = Request(
        Features(torch.zeros(1, 1)),
        labels,
        strategies.build(contender.strategy, contender.parameters),
        Reduction(reducers.build("none")),
        guard=take.guard,
    )
    count, classes, place = len(frames), len(labels.names), 0
    scores, zero_shot = np.zeros((count, classes), np.float32), np.zeros(count, np.int64)
    seconds, views = np.zeros(count, np.float32), np.zeros(count, np.int64)
    rows = (torch.from_numpy(take.features(frame).copy()) for frame in frames)
    lessons = [(torch.from_numpy(features.copy()), labels.names[label]) for features, label in take.lessons]
    async for report in answer_stream(runtime, request, rows, lessons):
        scores[place], zero_shot[place] = report.scores.values, int(report.zero_shot.argmax())
        seconds[place], views[place] = report.seconds.get("adapt", 0.0), report.views
        place += 1
        done(1)
    some = slice(frames.start, frames.stop)
    return Run(take.picture[some], take.label[some], scores, zero_shot, seconds, views)


def _join(parts: Sequence[Run]) -> Run:
    return Run(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Run.__dataclass_fields__})
