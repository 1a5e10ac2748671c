"""The access log: one line for each answer and each refusal, and its level.

A line may hold text from users, cut to what a person reads. A metric's label never does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from cachetools import TTLCache

from ..core.caution import CautionKind
from ..core.errors import ModelFault, NotReady, Overloaded
from ..core.events import Closed, Dropped, Forward, Refused
from ..core.request import Report
from . import Handlers, without_empty
from .logging import get_logger

LONGEST = 200  # characters of one text from a caller
NAMED = 8  # labels that one line names
WARN_AGAIN = 3600.0  # seconds until a session is warned of again
MAX_WARNED = 10_000  # warnings of sessions that the log remembers


class AccessLog:
    """Writes log lines: unary answers at info, frames at debug, failures above.

    Each kind of warning that goes with an answer is written once an hour for each session and label set, for frames
    too: otherwise a stream would never show it, since the lines of its frames are mostly off. `trace_of` gives the
    trace id of an event that has become a span; others have that of the caller's `traceparent`, if there is one.
    """

    def __init__(
        self,
        name: str = "tta_service.answers",
        clock: Callable[[], float] = time.monotonic,
        trace_of: Callable[[Report | Refused], str] | None = None,
    ) -> None:
        self._trace_of = trace_of or (lambda event: "")
        self._standard, self._log = logging.getLogger(name), get_logger(name)
        self._warned: TTLCache[tuple[str, str, str, str], bool] = TTLCache(MAX_WARNED, WARN_AGAIN, clock)
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
        if (report.cautions and self._warns_anew(report)) or report.degraded:
            level = logging.WARNING
        if self._standard.isEnabledFor(level):
            self._log.log(level, "answered", **answer_fields(report), **self._trace(report, report.request.trace))

    def _write_refusal(self, event: Refused) -> None:
        self._log.log(refusal_level(event.error), "refused", **refusal_fields(event), **self._trace(event, event.trace))

    def _trace(self, event: Report | Refused, parent: str) -> dict[str, Any]:
        return without_empty(trace_id=self._trace_of(event) or _caller_trace(parent))

    def _write_failure(self, event: Forward) -> None:
        if event.failed:
            self._log.error("forward failed", rows=event.rows, reducer=event.reducer)

    def _write_dropped(self, event: Dropped) -> None:
        if self._standard.isEnabledFor(logging.DEBUG):
            self._log.debug("dropped", reason=event.reason, policy=event.policy)

    def _write_closed(self, event: Closed) -> None:
        if self._standard.isEnabledFor(logging.DEBUG):
            self._log.debug("session closed", reason=event.reason, frames=event.frames)

    def _warns_anew(self, report: Report) -> bool:
        """Whether the answer has a kind of warning that its session has not had for an hour."""
        request = report.request
        whose = request.owner, request.session, request.labels.id
        anew = [key for one in report.cautions if (key := (*whose, one.kind.value)) not in self._warned]
        self._warned.update(dict.fromkeys(anew, True))
        return bool(anew)


def answer_fields(report: Report) -> dict[str, Any]:
    """The fields of an answer's line, with a `warning` of what makes it less trustworthy."""
    request = report.request
    names, best, plain = request.labels.names, report.scores.best, report.zero_shot_scores.best
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
        warning="; ".join(_describe(report)) or None,
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


def _caller_trace(parent: str) -> str:
    """The trace id of a W3C traceparent; "" for anything else."""
    found = re.fullmatch(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", parent)
    return found[1] if found else ""


def _describe(report: Report) -> list[str]:
    untaught = CautionKind.UNTAUGHT_NAMES
    found = [caution.message for caution in report.cautions if caution.kind is not untaught]
    return found + ([f"labels unknown to the text tower: {_list_names(report.unseen)}"] if report.unseen else [])


def _list_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(_shorten, names[:NAMED])) + rest


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
