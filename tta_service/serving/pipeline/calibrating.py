"""Calibrates strategies by a session's lessons, beside the turns: until it is done, the calibration before holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import torch

from ...confidence.calibration import WINDOW, Calibration, calibrate
from ...core.errors import NotReady
from ...core.labels import LabelSet, TextSpace
from ...core.lessons import Lesson
from ...core.strategy import Strategy, is_teachable
from ..concurrency import CooperativeTask, Executors
from ..sessions.lessons import LessonBook
from ..sessions.memory import MemoryKey
from ..sessions.session import Session
from ..text.cache import TextSpaceCache
from .cross_fitting import FRAMES, cross_fit, zero_shot_logits

log = logging.getLogger(__name__)


class Calibrator:
    """Runs in the tune lane, one calibration of a strategy and a session's or group's lessons at a time."""

    def __init__(self, lanes: Executors, text_spaces: TextSpaceCache) -> None:
        self._lanes, self._text_spaces = lanes, text_spaces
        self._tasks = set[asyncio.Task[None]]()

    def current(self, session: Session, key: MemoryKey, labels: LabelSet) -> Calibration:
        """The last calibration of that strategy, label set and reduction; one of later lessons is begun, if need be."""
        book = session.lessons
        changes, calibration = book.calibrations.get(key, (0, Calibration()))
        if changes != book.changes and key not in book.calibrating:
            book.calibrating.add(key)
            task = asyncio.create_task(self._calibrate(session, book, key, labels))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return calibration

    async def wait(self) -> None:
        """Returns when nothing is calibrated."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _calibrate(self, session: Session, book: LessonBook, key: MemoryKey, labels: LabelSet) -> None:
        try:
            text, known = await self._text_spaces.get(labels), -1
            while known != book.changes:  # lessons may come meanwhile
                known = book.changes
                lessons = [one for one in book if one.concerns(key.labels, key.reduction)]
                recent = [one.views for one in session.recent if (one.labels.id, one.reduction) == key[1:]]
                work = partial(make_calibration, key.strategy, text, lessons, recent)
                made = await CooperativeTask(work).run(self._lanes.tune)
                book.calibrations[key] = known, made
        except NotReady:  # the server is stopping
            pass
        except Exception:
            log.exception("%s could not be calibrated by its lessons", key.strategy.name)
            book.calibrations[key] = book.changes, Calibration()
        finally:
            book.calibrating.discard(key)


def make_calibration(
    strategy: Strategy[Any], text: TextSpace, lessons: Sequence[Lesson], recent: Sequence[torch.Tensor]
) -> Generator[None, None, Calibration]:
    """From all lessons of that label set and reduction, oldest first, and frames without one.

    A strategy that learns from lessons is cross-fitted; the scores of another do not hang on them, so those count that
    it gave when the frame was drawn.
    """
    drawn = [(one, one.example.drawn) for one in lessons if one.example.drawn is not None and one.label is not None]
    mine = [(one, said) for one, said in drawn if said.strategy == repr(strategy)]
    wanted = [one for one, _ in (drawn if is_teachable(strategy) else mine)][-WINDOW:]
    if not wanted:
        return Calibration()
    names = {name: place for place, name in enumerate(text.labels.names)}
    held = [(names[one.label or ""], said.prediction_set) for one, said in mine]
    covered = tuple(label in inside for label, inside in held if inside is not None)
    if is_teachable(strategy):
        logits = yield from cross_fit(strategy, text, lessons, wanted, recent[-FRAMES:])
    else:
        logits = torch.stack([one.example.drawn.logits for one in wanted if one.example.drawn])
    right = torch.tensor([names[one.label or ""] for one in wanted]).numpy()
    return calibrate(logits.double().numpy(), zero_shot_logits(text, wanted).double().numpy(), right, covered)
