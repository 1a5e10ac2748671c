"""Where in the wire's message an error lies: rooms inside name their own field, the door puts the path before it."""

from __future__ import annotations

import copy
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..core.errors import BadLabels, BadParameters, TTAError


@contextmanager
def field_prefix(path: str, whole: bool = False) -> Generator[None]:
    """Errors from inside are seen from `path`; `whole`: the field at `path` itself is to blame, nothing within it."""
    try:
        yield
    except TTAError as error:
        if whole:
            error.field = ""
        raise error.at(path) from error.__cause__


@dataclass(frozen=True, slots=True)
class FieldOrigins:
    """The fields of the wire that the parts of one request came from."""

    image: str  # "frame.image.encoded"
    labels: str  # "open.labels.id" or "open.labels.label_set"
    options: str  # "frame.options"

    def locate(self, error: TTAError) -> TTAError:
        """The error that the hallway raised, as the caller sees it. A copy: several callers may share one failure."""
        located = copy.copy(error)
        located.field = self._outer(error.field or ("labels" if isinstance(error, BadLabels) else ""))
        if isinstance(error, BadParameters) and "." not in located.field and located.field:
            located.field = f"{self.options}.strategy.parameters.{located.field}"
        located.__cause__ = error.__cause__
        return located.with_traceback(error.__traceback__)

    def _outer(self, field: str) -> str:
        head, rest = re.fullmatch(r"(\w*)(.*)", field, re.DOTALL).groups()  # type: ignore[union-attr]
        if head == "image":
            return self.image if not rest else self.image.rpartition(".")[0] + rest
        if head == "labels":
            return self.labels
        if head in ("names", "templates"):
            return f"{self.labels}.{field}" if self.labels.endswith("label_set") else self.labels
        if head == "options":
            return self.options + rest.replace(".reducer.", ".reduction.reducer.", 1 - rest.count("reduction"))
        return field
