"""What the servers of a lesson group tell each other: lessons, that they were taken back, sums of other sites."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ...core.lesson_sums import LessonSums
from ...core.lessons import Lesson

KEY = 24  # characters of a word's name that say what it is about


@dataclass(frozen=True, slots=True)
class Removal:
    """A lesson about that example and label set was taken back."""

    example: str
    labels: str  # label set id
    taught: float  # Unix seconds


@dataclass(frozen=True, slots=True, eq=False)
class SiteSums:
    """All that another site tells of its lessons, in place of what it told before."""

    site: str
    sums: tuple[LessonSums, ...]  # empty: it takes back what it told
    taught: float = 0.0  # Unix seconds

    @property
    def bytes(self) -> int:
        """Of the sums and the texts of their label sets."""
        texts = (text for one in self.sums for text in one.labels.texts)
        return sum(one.nbytes for one in self.sums) + sum(len(text.encode(errors="surrogatepass")) for text in texts)


Word = Lesson | Removal | SiteSums  # what the servers of a group tell each other


def name_of(word: Word) -> str:
    """What the word is about, when it was said, what it says: of two about the same, the greater name holds."""
    match word:
        case Lesson(example=example):
            about, said = (example.id, example.labels.id), _digest(word.label, 8)
        case Removal():
            about, said = (word.example, word.labels), "0" * 8  # a lesson of the same moment wins
        case SiteSums():
            about, said = (word.site,), digest_sums(word.sums)
    return f"{_digest(about, KEY)}-{round(word.taught * 1e6):017d}-{said}"


def digest_sums(sums: tuple[LessonSums, ...]) -> str:
    """Tells sums apart."""
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
    """What a word changes for memories: they begin anew without `old`, or learn `new`; or `sums` came or went."""

    old: Lesson | None
    new: Lesson | None
    sums: tuple[LessonSums, ...] = ()
