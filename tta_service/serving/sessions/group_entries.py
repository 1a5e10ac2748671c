"""The log of a lesson group, which its servers exchange: lessons, their removals, sums of other sites."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ...core.lesson_sums import LessonSums
from ...core.lessons import Lesson

KEY = 24  # characters of an entry's name that say what it is about


@dataclass(frozen=True, slots=True)
class Removal:
    """A lesson about that example and label set was taken back."""

    example: str
    labels: str  # label set id
    taught: float  # Unix seconds


@dataclass(frozen=True, slots=True, eq=False)
class SiteSums:
    """The sums of another site, in place of those that it sent before."""

    site: str
    sums: tuple[LessonSums, ...]  # empty: it takes its sums back
    taught: float = 0.0  # Unix seconds

    @property
    def bytes(self) -> int:
        """Of the sums and the texts of their label sets."""
        texts = (text for one in self.sums for text in one.labels.texts)
        return sum(one.nbytes for one in self.sums) + sum(len(text.encode(errors="surrogatepass")) for text in texts)


GroupEntry = Lesson | Removal | SiteSums  # of the log


def name_of(entry: GroupEntry) -> str:
    """Subject, time and content of the entry: of two with one subject, the greater name holds."""
    match entry:
        case Lesson(example=example):
            about, content = (example.id, example.labels.id), _digest(entry.label, 8)
        case Removal():
            about, content = (entry.example, entry.labels), "0" * 8  # a lesson of the same moment wins
        case SiteSums():
            about, content = (entry.site,), digest_sums(entry.sums)
    return f"{_digest(about, KEY)}-{round(entry.taught * 1e6):017d}-{content}"


def digest_sums(sums: tuple[LessonSums, ...]) -> str:
    """8 hex digits, others for other sums."""
    digest = hashlib.sha256()
    for one in sums:
        digest.update(repr((one.labels.id, one.reduction, one.epsilon, one.delta)).encode())
        for values in (one.counts, one.sums, one.scatter):
            digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _digest(value: object, length: int) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What an entry changes for memories: they begin anew without `old`, or learn `new`; or `sums` came or went."""

    old: Lesson | None
    new: Lesson | None
    sums: tuple[LessonSums, ...] = ()
