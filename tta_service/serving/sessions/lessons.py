"""What a session remembers for its teacher: its recent frames, and the lessons about them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from ...core.errors import UnknownExample
from ...core.lessons import Example, ExampleRef, FrameRef, Lesson, RequestRef
from .memory import MemoryKey


class RecentExamples:
    """The last `most` pictures of a session, by example id, oldest first. `on_resize(bytes)` hears of their size."""

    def __init__(self, on_resize: Callable[[int], None], most: int) -> None:
        self._examples: OrderedDict[str, Example] = OrderedDict()
        self._on_resize, self._most, self.bytes = on_resize, most, 0

    def add(self, example: Example) -> None:
        """Remembers one more; above `most` the oldest is forgotten."""
        if not self._most:
            return
        self._examples[example.id] = example
        self._resize(example.views.nbytes)
        if len(self._examples) > self._most:
            _, oldest = self._examples.popitem(last=False)
            self._resize(-oldest.views.nbytes)

    def clear(self) -> None:
        """Forgets all of them."""
        self._examples.clear()
        self._resize(-self.bytes)

    def find(self, about: FrameRef | RequestRef | ExampleRef) -> Example:
        """The latest one that matches. Raises `UnknownExample`."""
        match about:
            case ExampleRef(id):
                found = self._examples.get(id)
                sentence = f"the session knows no example {id!r}"
            case FrameRef(id):
                found = next((one for one in reversed(self._examples.values()) if one.frame_id == id), None)
                sentence = f"frame {id} is not among the last {self._most} of this session"
            case RequestRef(id):
                found = next((one for one in reversed(self._examples.values()) if one.request_id == id), None)
                sentence = f"request {id!r} is not among the last {self._most} of this session"
        if found is None:
            raise UnknownExample(sentence)
        return found

    def _resize(self, by: int) -> None:
        self.bytes += by
        self._on_resize(by)


class LessonBook:
    """The lessons of a session, in the order of teaching. `on_resize(bytes)` hears of their size."""

    def __init__(self, on_resize: Callable[[int], None]) -> None:
        self._lessons: dict[tuple[str, str], Lesson] = {}  # by example id and label set id
        self._on_resize, self.bytes, self.last = on_resize, 0, 0

    def __len__(self) -> int:
        return len(self._lessons)

    def __iter__(self) -> Iterator[Lesson]:
        return iter(self._lessons.values())

    def get(self, example: str, labels: str) -> Lesson | None:
        """The lesson about that example in that label set."""
        return self._lessons.get((example, labels))

    def add(self, example: Example, label: str | None) -> Lesson:
        """A new lesson, in place of an earlier one about the example in the same label set."""
        self.last += 1
        lesson = Lesson(self.last, example, label)
        self.remove(example.id, example.labels.id)
        self._put(lesson)
        return lesson

    def restore(self, lessons: Iterable[Lesson], last: int) -> None:
        """Takes over the lessons of a stored session; `last` is the highest number that it has given."""
        for lesson in lessons:
            self._put(lesson)
        self.last = last

    def remove(self, example: str, labels: str) -> Lesson | None:
        """Takes a lesson back."""
        lesson = self._lessons.pop((example, labels), None)
        if lesson is not None:
            self._resize(-lesson.example.views.nbytes)
        return lesson

    def about(self, example: str) -> list[Lesson]:
        """The lessons about that example, in all label sets."""
        return [lesson for lesson in self._lessons.values() if lesson.example.id == example]

    def matching(self, key: MemoryKey, after: int = 0) -> list[Lesson]:
        """The lessons for a memory with that label set and reduction, with numbers above `after`.

        Those that say "none of these" are kept, but no strategy learns from them.
        """
        return [
            lesson
            for lesson in self._lessons.values()
            if lesson.number > after
            and lesson.label is not None
            and lesson.example.labels.id == key.labels
            and lesson.example.reduction == key.reduction
        ]

    def _put(self, lesson: Lesson) -> None:
        self._lessons[lesson.example.id, lesson.example.labels.id] = lesson
        self._resize(lesson.example.views.nbytes)

    def _resize(self, by: int) -> None:
        self.bytes += by
        self._on_resize(by)
