"""Calibrates strategies by a session's lessons, beside the turns: until it is done, the calibration before holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ...confidence.calibration import WINDOW, Calibration, calibrate
from ...core.errors import NotReady
from ...core.labels import LabelSet, TextSpace
from ...core.lessons import Lesson
from ...core.strategy import Strategy, is_teachable
from ...core.trust import Drawn
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
    mine, names = [one for one in lessons if _find_drawn(one, strategy)], text.labels.names
    if is_teachable(strategy):
        drawn = [one for one in lessons if one.example.drawn and one.label is not None]
        wanted = drawn[-WINDOW:]
        logits = yield from cross_fit(strategy, text, lessons, wanted, recent[-FRAMES:])
    else:
        wanted = mine[-WINDOW:]
        logits = [drawn.logits for one in wanted if (drawn := _find_drawn(one, strategy))]
    if not wanted:
        return Calibration()
    right = np.array([names.index(one.label or "") for one in wanted])
    zero_shot = zero_shot_logits(text, wanted).double().numpy()
    return calibrate(torch.stack(logits).double().numpy(), zero_shot, right, _find_covered(strategy, mine, names))


def _find_drawn(lesson: Lesson, strategy: Strategy[Any]) -> Drawn | None:
    """What that strategy said about a picture of a class that was drawn uniformly."""
    drawn = lesson.example.drawn
    return drawn if drawn is not None and drawn.strategy == repr(strategy) and lesson.label is not None else None


def _find_covered(strategy: Strategy[Any], lessons: Sequence[Lesson], names: Sequence[str]) -> tuple[bool, ...]:
    """Of the lessons that had a prediction set before they were learnt, whether it held their label."""
    sets = [(one.label or "", drawn.prediction_set) for one in lessons if (drawn := _find_drawn(one, strategy))]
    return tuple(names.index(label) in held for label, held in sets if held is not None)
