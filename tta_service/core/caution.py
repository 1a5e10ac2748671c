"""Warnings that go with an answer: what makes it less trustworthy than its scores say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CautionKind(StrEnum):
    """What is wrong."""

    FEW_CLASSES = "few_classes"  # recent answers hardly depend on the picture
    FOREIGN = "foreign"  # recent pictures fit none of the names well, or are unlike the session's first
    UNTAUGHT_NAMES = "untaught_names"  # names that the text tower was never taught


@dataclass(frozen=True, slots=True)
class Caution:
    """A warning about an answer."""

    kind: CautionKind
    message: str  # one sentence with its numbers
