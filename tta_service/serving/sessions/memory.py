"""What a session stores between two frames for one strategy, and the bytes that all of that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...core.request import Features, Request
from ...core.strategy import Strategy


class MemoryKey(NamedTuple):
    """Distinguishes the memories of one session, by what the client asked for: degradation does not change it."""

    strategy: Strategy[Any]
    labels: str  # label set id
    reduction: Reduction | None  # None: the client sent features

    @classmethod
    def of(cls, request: Request, strategy: Strategy[Any]) -> MemoryKey:
        """The key of that strategy's memory for this request."""
        return cls(strategy, request.labels.id, reduction_of(request))


def reduction_of(request: Request) -> Reduction | None:
    """By which the features of a request are made; None: the client sent them."""
    return None if isinstance(request.image, Features) else request.reduction


class MemorySlot:
    """A memory between two frames. Only the first turn in the queue may touch it.

    `on_resize(bytes)` is called with every change of its size.
    """

    def __init__(self, key: MemoryKey, labels: LabelSet, on_resize: Callable[[int], None]) -> None:
        self.key, self.labels = key, labels
        self.value: Any = None
        self.bytes, self.begun = 0, False
        self.resets = 0
        self.learnt = 0  # the number of the last lesson that the memory has learnt
        self.missed = frozenset[int]()  # numbers of earlier ones that it has not learnt yet
        self._reset_unreported = False  # it was lost or reset, and no answer has said so yet
        self._on_resize = on_resize

    @property
    def empty(self) -> bool:
        """There is no memory, and no reset left to report."""
        return not (self.begun or self._reset_unreported)

    def store(self, value: Any, size: int) -> None:
        """Stores the memory after a frame; `size` in bytes."""
        if size != self.bytes:  # most memories have a fixed size
            self._on_resize(size - self.bytes)
        self.value, self.bytes, self.begun = value, size, True

    def reset(self) -> None:
        """Discards the memory; the next frame begins a new one."""
        self._on_resize(-self.bytes)
        self.resets += 1
        self._reset_unreported = self._reset_unreported or self.begun
        self.value, self.bytes, self.begun, self.learnt = None, 0, False, 0
        self.missed = frozenset[int]()

    def report_reset(self) -> None:
        """There was a memory elsewhere that is of no use here; the next answer says so."""
        self._reset_unreported = True

    def pop_reset(self) -> bool:
        """Whether the memory was discarded since the last answer; each reset is reported once."""
        unreported, self._reset_unreported = self._reset_unreported, False
        return unreported


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Limits in bytes of memories, and of the numbers of sessions, of their groups and of frames that they remember."""

    session: int = 256 << 20  # of a lesson group too
    owner: int = 1 << 30
    total: int = 4 << 30
    sessions: int = 10_000
    groups: int = 1000
    recent: int = 256  # frames of a session that a lesson may be about
    questions: int = 512  # that wait in one session
    question_age: float = 7 * 86400.0  # seconds that they wait
    taught_idle: float = (
        7 * 86400.0
    )  # seconds that an idle session with lessons or questions lives; at least as long as others
    owner_sessions: int = 0  # 0: any number


@dataclass(slots=True)
class QuestionTotals:
    """Numbers of questions in all sessions. The mappings are replaced, never changed in place."""

    waiting: int = 0
    answered: int = 0
    asked: Mapping[str, int] = field(default_factory=dict[str, int])  # by reason
    evicted: Mapping[str, int] = field(default_factory=dict[str, int])  # without an answer, by what was exceeded
    sets_checked: Mapping[str, int] = field(default_factory=dict[str, int])  # prediction sets, "held" or "missed"
    drawn_answers: Mapping[str, int] = field(default_factory=dict[str, int])  # named since, "right" or "wrong"
    drawn_confidence: float = 0.0  # the sum of theirs

    def count_asked(self, reason: str) -> None:
        """One more is asked."""
        self.asked = {**self.asked, reason: self.asked.get(reason, 0) + 1}

    def count_checked(self, held: bool) -> None:
        """Somebody has said what a picture shows that had a prediction set, and whether that holds the label."""
        outcome = "held" if held else "missed"
        self.sets_checked = {**self.sets_checked, outcome: self.sets_checked.get(outcome, 0) + 1}

    def count_named(self, confidence: float, right: bool) -> None:
        """Somebody has said what a picture shows that was drawn; `confidence` was that in its answer."""
        outcome = "right" if right else "wrong"
        self.drawn_answers = {**self.drawn_answers, outcome: self.drawn_answers.get(outcome, 0) + 1}
        self.drawn_confidence += confidence

    def count_evicted(self, reason: str) -> None:
        """One leaves without an answer, or found no room."""
        self.evicted = {**self.evicted, reason: self.evicted.get(reason, 0) + 1}


@dataclass(slots=True)
class MemoryAccounting:
    """Plain sums in bytes. `by_strategy` is replaced, never changed in place, so that any thread may read it."""

    total: int = 0  # of memories, lessons and questions
    recent: int = 0  # of what sessions remember of recent pictures
    by_strategy: Mapping[str, int] = field(default_factory=dict[str, int])
    questions: QuestionTotals = field(default_factory=QuestionTotals)
    _by_owner: Counter[str] = field(default_factory=Counter[str])

    def of_owner(self, owner: str) -> int:
        """The bytes of all memories of that owner."""
        return self._by_owner[owner]

    def change(self, owner: str, strategy: str, by: int) -> None:
        """A memory of that owner and strategy has grown by so many bytes; a negative number: it has shrunk."""
        if not by:
            return
        self.total += by
        self._by_owner[owner] += by
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        now = {**self.by_strategy, strategy: self.by_strategy.get(strategy, 0) + by}
        self.by_strategy = MappingProxyType({name: size for name, size in now.items() if size})
