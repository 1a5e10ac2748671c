"""What a session remembers for its teacher: its recent frames, and the lessons about them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Set
from dataclasses import replace

from torch.nn.functional import cosine_similarity

from ...confidence.calibration import Calibration
from ...core.errors import UnknownExample
from ...core.lesson_sums import LessonSums
from ...core.lessons import Example, ExampleRef, FrameRef, Lesson, RequestRef
from ...core.parameters import shorten
from ...core.strategy import is_teachable, learns_none, takes_sums
from .memory import MemoryKey

_SAME = 0.99  # cosine of features of one picture, which the batch that it was encoded in changes a little


class ExampleBytes:
    """The bytes of the examples that are held: features, and the texts of each label set once.

    `on_resize(bytes)` hears of every change.
    """

    def __init__(self, on_resize: Callable[[int], None]) -> None:
        self._on_resize, self._held, self.bytes = on_resize, Counter[str](), 0  # held: examples by label set id

    def bytes_of(self, example: Example) -> int:
        """By which holding it as well would add to the sum."""
        labels, texts = example.labels, 0
        if not self._held[labels.id]:
            texts = sum(len(text.encode(errors="surrogatepass")) for text in labels.texts)
        drawn = example.drawn.logits.nbytes if example.drawn else 0
        return example.views.nbytes + len(example.thumbnail) + drawn + texts

    def hold(self, example: Example) -> None:
        """Counts one more."""
        self._resize(self.bytes_of(example))
        self._held[example.labels.id] += 1

    def drop(self, example: Example) -> None:
        """Counts one less."""
        self._held[example.labels.id] -= 1
        self._resize(-self.bytes_of(example))
        self._held += Counter()  # without label sets of which nothing is held

    def _resize(self, by: int) -> None:
        self.bytes += by
        self._on_resize(by)


class RecentExamples(ExampleBytes):
    """The last `most` pictures of a session, by example id, oldest first."""

    def __init__(self, on_resize: Callable[[int], None], most: int) -> None:
        super().__init__(on_resize)
        self._examples, self._most = OrderedDict[str, Example](), most

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples.values())

    def add(self, example: Example) -> None:
        """Remembers one more; above `most` the oldest is forgotten."""
        if not self._most:
            return
        self._examples[example.id] = example
        self.hold(example)
        if len(self._examples) > self._most:
            self.drop(self._examples.popitem(last=False)[1])

    def clear(self) -> None:
        """Forgets all of them."""
        self._examples.clear()
        self._held.clear()
        self._resize(-self.bytes)

    def find(self, about: FrameRef | RequestRef | ExampleRef) -> Example:
        """The latest one that matches. Raises `UnknownExample`."""
        match about:
            case ExampleRef(id):
                found = self._examples.get(id)
                sentence = f"the session knows no example {shorten(id)}"
            case FrameRef(id):
                found = next((one for one in reversed(self._examples.values()) if one.frame_id == id), None)
                sentence = f"frame {id} is not among the last {self._most} of this session"
            case RequestRef(id):
                found = next((one for one in reversed(self._examples.values()) if one.request_id == id), None)
                sentence = f"request {shorten(id)} is not among the last {self._most} of this session"
        if found is None:
            raise UnknownExample(sentence)
        return found


class LessonBook(ExampleBytes):
    """The lessons of a session or group, in the order of teaching."""

    def __init__(self, on_resize: Callable[[int], None]) -> None:
        super().__init__(on_resize)
        self._lessons: dict[tuple[str, str], Lesson] = {}  # by example id and label set id
        self.last = 0  # number of the last one that was given
        self.set_apart = 0  # how many are
        self.changes = 0  # lessons that came or went, since the session was opened here
        self.calibrations = dict[MemoryKey, tuple[int, Calibration]]()  # with the `changes` that they knew
        self.calibrating = set[MemoryKey]()

    def __len__(self) -> int:
        return len(self._lessons)

    def __iter__(self) -> Iterator[Lesson]:
        return iter(self._lessons.values())

    def get(self, example: str, labels: str) -> Lesson | None:
        """The lesson about that example in that label set."""
        return self._lessons.get((example, labels))

    def add(self, lesson: Lesson) -> tuple[Lesson | None, Lesson]:
        """A lesson with the next number, in place of one about the same example and label set: that one, and itself."""
        self.last += 1
        numbered = replace(lesson, number=self.last)
        replaced = self.remove(lesson.example.id, lesson.example.labels.id)
        self.put(numbered)
        return replaced, numbered

    def remove(self, example: str, labels: str) -> Lesson | None:
        """Takes a lesson back."""
        lesson = self._lessons.pop((example, labels), None)
        if lesson is not None:
            self.set_apart -= lesson.example.set_apart
            self.changes += 1
            self.drop(lesson.example)
        return lesson

    def about(self, example: str) -> list[Lesson]:
        """The lessons about that example, in all label sets."""
        found = (self._lessons.get((example, labels)) for labels in self._held)
        return sorted((lesson for lesson in found if lesson is not None), key=lambda lesson: lesson.number)

    def matching(self, key: MemoryKey, after: int = 0, missed: Set[int] = frozenset()) -> list[Lesson]:
        """The lessons for a memory with that label set and reduction, with numbers above `after` or among the `missed`.

        Those that are set apart are kept, but no strategy learns from them; few learn from "none of these".
        """
        return [
            lesson
            for lesson in self._lessons.values()
            if (lesson.number > after or lesson.number in missed) and learns(key, lesson)
        ]

    def put(self, lesson: Lesson) -> None:
        """Holds a lesson that has its number already."""
        self._lessons[lesson.example.id, lesson.example.labels.id] = lesson
        self.set_apart += lesson.example.set_apart
        self.changes += 1
        self.hold(lesson.example)


def is_known(lesson: Lesson, example: Example, label: str | None) -> bool:
    """Whether the same was said of the example, which may have the id of another picture if it was recorded."""
    held, (one, other) = lesson.example, (x.views[0].float() for x in (lesson.example, example))
    alike = one.shape == other.shape and float(cosine_similarity(one, other, dim=0)) > _SAME
    known = lesson.label, held.set_apart, held.reduction
    return alike and known == (label, example.set_apart, example.reduction)


def learns(key: MemoryKey, lesson: Lesson) -> bool:
    """Whether the memory learns from the lesson: of its label set and its reduction."""
    can = is_teachable(key.strategy) if lesson.label is not None else learns_none(key.strategy)
    return can and lesson.concerns(key.labels, key.reduction)


def takes(key: MemoryKey, sums: LessonSums) -> bool:
    """Whether the memory learns from these sums of another site."""
    return takes_sums(key.strategy) and sums.concerns(key.labels, key.reduction)
