"""Structured logs, JSON or for people; what is written of answers is in `access_log.py`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

import structlog
from structlog.typing import Processor

from ..core.masking import without_secrets

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_BEFORE: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with key-value fields over the standard library's; no global configuration is touched."""
    processors: list[Processor] = [*_BEFORE, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    return structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


@contextmanager
def configure_logging(stream: IO[str], form: LogFormat = "console", level: LogLevel = "info") -> Iterator[None]:
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


def _formatter(form: LogFormat, colours: bool) -> logging.Formatter:
    # repr of strings: a line break in a user's label must not forge a line
    people = structlog.dev.ConsoleRenderer(colors=colours, repr_native_str=True)
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if form == "json" else [people]
    )
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_BEFORE, processors=[clean, *last, _mask])


def _mask(_logger: object, _method: str, line: Any) -> Any:
    """Libraries name the URLs of stores and collectors as they were given."""
    return without_secrets(line)
