"""Pictures that a session asks a person about, until somebody says what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from ...core.lessons import ExampleRef, FrameRef, Question, Reason, RequestRef
from .lessons import ExampleBytes
from .memory import QuestionTotals

Eviction = Literal["age", "number", "bytes"]  # what was exceeded


class QuestionBook(ExampleBytes):
    """The questions of a session that wait, oldest first. They count in bytes like lessons, with their logits."""

    def __init__(self, on_resize: Callable[[int], None], totals: QuestionTotals, most: int) -> None:
        super().__init__(on_resize)
        self._questions, self._totals, self._most = dict[str, Question](), totals, most  # by example id
        self.changes = 0  # questions that came or went, since the session was opened here

    def __len__(self) -> int:
        return len(self._questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self._questions.values())

    def count(self, reason: Reason) -> int:
        """How many wait for that reason."""
        return sum(one.reason is reason for one in self)

    def size_of(self, question: Question) -> int:
        """By which one more would add to the bytes."""
        return self.bytes_of(question.example) + question.logits.nbytes

    def make_room(self, question: Question, free: int) -> bool:
        """Evicts the oldest until one more fits into `free` bytes and theirs. False: it never does."""
        limit = self.bytes + free
        while self.size_of(question) <= limit and self._most:
            if len(self) >= self._most:
                self.evict_oldest("number")
            elif self.bytes + self.size_of(question) > limit:
                self.evict_oldest("bytes")
            else:
                return True
        self._totals.count_evicted("bytes")
        return False

    def put(self, question: Question) -> None:
        """One more, about an example of which there is none yet."""
        self._questions[question.example.id] = question
        self.hold(question.example)
        self._resize(question.logits.nbytes)
        self._totals.waiting += 1
        self.changes += 1

    def find(self, about: FrameRef | RequestRef | ExampleRef) -> Question | None:
        """The latest one that matches."""
        match about:
            case ExampleRef(id):
                return self._questions.get(id)
            case FrameRef(id):
                matching = [one for one in self if one.example.frame_id == id]
            case RequestRef(id):
                matching = [one for one in self if one.example.request_id == id]
        return matching[-1] if matching else None

    def answer(self, example: str) -> None:
        """Somebody has said what that example shows."""
        if example in self._questions:
            self._remove(example)
            self._totals.answered += 1

    def evict_oldest(self, reason: Eviction) -> None:
        """The oldest one leaves without an answer. There must be one."""
        self._remove(next(iter(self._questions)))
        self._totals.count_evicted(reason)

    def expire(self, before: float) -> None:
        """Evicts the questions about pictures that came before that time (Unix seconds)."""
        while self._questions and next(iter(self)).example.seen < before:
            self.evict_oldest("age")

    def _remove(self, example: str) -> None:
        question = self._questions.pop(example)
        self.drop(question.example)
        self._resize(-question.logits.nbytes)
        self._totals.waiting -= 1
        self.changes += 1
