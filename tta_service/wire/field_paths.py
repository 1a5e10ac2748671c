"""The field of a message to which an error belongs.

An error names its field as the raising package knows it ("labels", "names[2]"). These functions prefix the path within
the caller's message.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..core.errors import BadLabels, BadParameters, TTAError


@contextmanager
def field_prefix(path: str, whole: bool = False) -> Generator[None]:
    """A block whose errors get `path` before their field; with `whole` their field becomes `path` itself."""
    try:
        yield
    except TTAError as error:
        if whole:
            error.field = ""
        raise error.at(path) from error.__cause__


@dataclass(frozen=True, slots=True)
class FieldOrigins:
    """The message fields from which the parts of one request came."""

    image: str  # "frame.image.encoded"
    labels: str  # "open.labels.id" or "open.labels.label_set"
    options: str  # "frame.options"

    def locate(self, error: TTAError) -> TTAError:
        """A copy of the engine's error with its field as the caller knows it. Several requests may share one error."""
        located = copy.copy(error)
        located.field = self._message_field(error.field or ("labels" if isinstance(error, BadLabels) else ""))
        if isinstance(error, BadParameters) and "." not in located.field and located.field:
            located.field = f"{self.options}.strategy.parameters.{located.field}"
        located.__cause__ = error.__cause__
        return located.with_traceback(error.__traceback__)

    def _message_field(self, field: str) -> str:
        head, rest = re.fullmatch(r"(\w*)(.*)", field, re.DOTALL).groups()  # type: ignore[union-attr]
        if head == "image":
            return self.image if not rest else self.image.rpartition(".")[0] + rest
        if head == "labels":
            return self.labels
        if head in ("names", "templates", "sentences"):
            return f"{self.labels}.{field}" if self.labels.endswith("label_set") else self.labels
        if head == "options":
            return self.options + rest.replace(".reducer.", ".reduction.reducer.", 1 - rest.count("reduction"))
        return field
