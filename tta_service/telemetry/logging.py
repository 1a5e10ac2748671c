"""Structured logs, as JSON or for people. The lines about answers are in `access_log.py`."""

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

_SHARED: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with key-value fields over the standard library's. Global configuration stays as it is."""
    processors: list[Processor] = [*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    return structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


@contextmanager
def configure_logging(stream: IO[str], form: LogFormat = "console", level: LogLevel = "info") -> Iterator[None]:
    """A context in which our logs and those of our libraries go to `stream`; `level` applies to ours."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(form, stream.isatty()))
    root, ours = logging.getLogger(), logging.getLogger("tta_service")
    previous_level = ours.level
    root.addHandler(handler)
    ours.setLevel(level.upper())
    logging.captureWarnings(True)  # Python's own would be lines of another format
    try:
        yield
    finally:
        logging.captureWarnings(False)
        ours.setLevel(previous_level)
        root.removeHandler(handler)


def _formatter(form: LogFormat, colours: bool) -> logging.Formatter:
    # repr of strings: a line break in a user's label must not forge a line
    console = structlog.dev.ConsoleRenderer(colors=colours, repr_native_str=True)
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if form == "json" else [console]
    )
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=[clean, *renderers, _mask])


def _mask(_logger: object, _method: str, line: Any) -> Any:
    """The line without passwords: libraries log the URLs of stores and collectors as they were configured."""
    return without_secrets(line)
