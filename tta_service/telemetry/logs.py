"""Structured logs: one line per answer, JSON or for people. User text may stand here, never in a metric's label."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

import structlog
from structlog.typing import Processor

from ..core.errors import ModelFault, NotReady, Overloaded
from ..core.events import Closed, Dropped, Event, Forward, Refused
from ..core.request import Report

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_BEFORE: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with key-value fields over the standard library's; no global configuration is touched."""
    processors: list[Processor] = [*_BEFORE, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    return structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


@contextmanager
def written(stream: IO[str], form: LogFormat = "console", level: LogLevel = "info") -> Iterator[None]:
    """While it lasts, our logs and those of our libraries go to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(form, stream.isatty()))
    root, ours = logging.getLogger(), logging.getLogger("tta_service")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(level.upper())
    try:
        yield
    finally:
        ours.setLevel(before)
        root.removeHandler(handler)


class AnswerLog:
    """An observer that writes: unary answers at info, frames at debug, what went wrong louder."""

    def __init__(self, name: str = "tta_service.answers") -> None:
        self._standard, self._log = logging.getLogger(name), logger(name)

    def observe(self, event: Event) -> None:
        match event:
            case Report():
                level = answer_level(event)
                if self._standard.isEnabledFor(level):  # a stream's frames are many and mostly not written
                    self._log.log(level, "answered", **answer_fields(event))
            case Refused(error, method, strategy):
                said = {"method": method, "strategy": strategy, "field": error.field, "error": type(error).__name__}
                self._log.log(refusal_level(error), "refused", reason=error.message, **said)
            case Forward(failed=True):
                self._log.error("forward failed", rows=event.rows, reducer=event.reducer)
            case Dropped(reason, policy):
                self._log.debug("dropped", reason=reason, policy=policy)
            case Closed(reason, frames):
                self._log.debug("session closed", reason=reason, frames=frames)
            case _:
                pass


def answer_fields(report: Report) -> dict[str, Any]:
    """What one answer's line says. `warning` when the text tower was never taught some of the labels."""
    request = report.request
    names, best, plain = request.labels.names, int(report.logits.argmax()), int(report.zero_shot.argmax())
    said: dict[str, Any] = {
        "request_id": request.request_id,
        "session": report.session.id,
        "frame_id": request.frame_id,
        "strategy": report.strategy.name,
        "label": names[best],
        "zero_shot": names[plain],
        "views": report.views,
        "batch_rows": report.batch_rows,
        "seconds": round(report.seconds.get("total", 0.0), 4),
        "degraded": report.degraded.reason if report.degraded else None,
        "warning": f"labels unknown to the text tower: {', '.join(report.unseen)}" if report.unseen else None,
    }
    return {key: value for key, value in said.items() if value not in (None, "")}


def answer_level(report: Report) -> int:
    """Frames are many: they go to debug. An answer with less done than asked is worth reading."""
    if report.degraded:
        return logging.WARNING
    return logging.DEBUG if report.request.streamed else logging.INFO


def refusal_level(error: Exception) -> int:
    """Our fault is an error, our load a warning, a caller's mistake news."""
    if isinstance(error, ModelFault):
        return logging.ERROR
    return logging.WARNING if isinstance(error, (Overloaded, NotReady)) else logging.INFO


def _formatter(form: LogFormat, colours: bool) -> logging.Formatter:
    # repr of strings: a line break in a user's label must not forge a line
    people = structlog.dev.ConsoleRenderer(colors=colours, repr_native_str=True)
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if form == "json" else [people]
    )
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_BEFORE, processors=[clean, *last])
