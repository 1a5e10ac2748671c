"""The access log: one line for each answer and each refusal, and its level.

A line may hold text from users, cut to what a person reads. A metric's label never does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from cachetools import FIFOCache

from ..core.errors import ModelFault, NotReady, Overloaded
from ..core.events import Closed, Dropped, Forward, Refused
from ..core.request import Report
from . import Handlers, without_empty
from .logging import get_logger

LONGEST = 200  # characters of one text from a caller
NAMED = 8  # labels that one line names
MAX_WARNED = 1000  # label sets for which the log remembers that it has warned


class AccessLog:
    """Writes log lines: unary answers at info, frames at debug, failures above.

    The first answer for a label set with labels that the text tower was never taught is a warning, for frames too:
    otherwise a stream would never show it, since the lines of its frames are mostly off.
    """

    def __init__(self, name: str = "tta_service.answers") -> None:
        self._standard, self._log = logging.getLogger(name), get_logger(name)
        self._warned: FIFOCache[str, bool] = FIFOCache(MAX_WARNED)  # label sets by id
        self.handlers: Handlers = {
            Report: self._write_answer,
            Refused: self._write_refusal,
            Forward: self._write_failure,
            Dropped: self._write_dropped,
            Closed: self._write_closed,
        }

    def _write_answer(self, report: Report) -> None:
        """Frames are many, so they go to debug. Fewer views or less adaptation than asked are a warning."""
        level = logging.DEBUG if report.request.policy else logging.INFO
        if report.degraded or (report.unseen and self._is_first(report.request.labels.id)):
            level = logging.WARNING
        if self._standard.isEnabledFor(level):
            self._log.log(level, "answered", **answer_fields(report))

    def _write_refusal(self, event: Refused) -> None:
        self._log.log(refusal_level(event.error), "refused", **refusal_fields(event))

    def _write_failure(self, event: Forward) -> None:
        if event.failed:
            self._log.error("forward failed", rows=event.rows, reducer=event.reducer)

    def _write_dropped(self, event: Dropped) -> None:
        if self._standard.isEnabledFor(logging.DEBUG):
            self._log.debug("dropped", reason=event.reason, policy=event.policy)

    def _write_closed(self, event: Closed) -> None:
        if self._standard.isEnabledFor(logging.DEBUG):
            self._log.debug("session closed", reason=event.reason, frames=event.frames)

    def _is_first(self, label_set: str) -> bool:
        """Whether this is the first call with this label set."""
        if label_set in self._warned:
            return False
        self._warned[label_set] = True
        return True


def answer_fields(report: Report) -> dict[str, Any]:
    """The fields of an answer's line, with a `warning` when the text tower was never taught some of the labels."""
    request = report.request
    names, best, plain = request.labels.names, int(report.logits.argmax()), int(report.zero_shot.argmax())
    return without_empty(
        request_id=_shorten(request.request_id),
        owner=request.owner,
        session=report.session.id,
        frame_id=request.frame_id,
        strategy=report.strategy.name,
        label=names[best],
        zero_shot=names[plain],
        views=report.views,
        batch_rows=report.batch_rows,
        seconds=round(report.seconds.get("total", 0.0), 4),
        degraded=report.degraded.reason if report.degraded else None,
        warning=f"labels unknown to the text tower: {_list_names(report.unseen)}" if report.unseen else None,
    )


def refusal_fields(event: Refused) -> dict[str, Any]:
    """The fields of a refusal's line: which request it was, what it asked for, and what is wrong with it."""
    error = event.error
    return without_empty(
        request_id=_shorten(event.request_id),
        owner=event.owner,
        session=_shorten(event.session),
        frame_id=event.frame_id,
        method=event.method,
        strategy=_shorten(event.strategy),
        field=_shorten(error.field),
        error=type(error).__name__,
        reason=_shorten(error.message),
    )


def refusal_level(error: Exception) -> int:
    """A fault of the server is an error, its load a warning, a caller's mistake information."""
    if isinstance(error, ModelFault):
        return logging.ERROR
    return logging.WARNING if isinstance(error, (Overloaded, NotReady)) else logging.INFO


def _list_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(_shorten, names[:NAMED])) + rest


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
