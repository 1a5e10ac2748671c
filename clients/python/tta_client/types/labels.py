"""Label sets: the classes to choose from, registered once and then named by id."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..v1 import tta_pb2


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Class names, distinct unless duplicates are allowed, and templates, in which `{}` stands for the name.

    Without templates the server uses its own; "openai" and "simple" stand for published sets of them. `sentences` are
    more descriptions of single classes, taken as they are: by name, or one entry for each name.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ()
    allow_duplicates: bool = False  # classes of one name differ by their index
    sentences: Mapping[str, Sequence[str]] | Sequence[Sequence[str]] = ()


Labels = str | Sequence[str] | LabelSet
"""The id of a registered set, class names, or a whole set."""


def parse_labels(labels: Labels) -> str | LabelSet:
    """An id as it is, anything else as a label set. Raises ValueError for what holds anything but text."""
    return _parse_texts([labels], "ids")[0] if isinstance(labels, str) else parse_label_set(labels)


def parse_label_set(labels: Sequence[str] | LabelSet) -> LabelSet:
    """Names, templates and sentences as tuples. Raises ValueError for what holds anything but text."""
    given = labels if isinstance(labels, LabelSet) else LabelSet(labels)  # type: ignore[arg-type]
    some: Any = (given.templates,) if isinstance(given.templates, str) else given.templates
    names, templates = _parse_texts(given.names, "names"), _parse_texts(some, "templates")
    return LabelSet(names, templates, bool(given.allow_duplicates), _parse_sentences(given.sentences, names))


def _parse_sentences(given: Any, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The sentences of each name; nothing if there are none at all."""
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in names]:  # type: ignore[reportUnknownVariableType]
            raise ValueError(f"there are sentences for {unknown[0]!r}, which is no name")
        given = [given.get(name, ()) for name in names]
    if isinstance(given, str) or not isinstance(given, Sequence) or any(isinstance(some, str) for some in given):  # type: ignore[reportUnknownVariableType]
        raise ValueError(f"the sentences are {repr(given)[:60]}, not some strings for each name")
    sentences = tuple(_parse_texts(some, "sentences") for some in given)  # type: ignore[reportUnknownVariableType]
    return sentences if any(sentences) else ()


def _parse_texts(texts: Any, what: str) -> tuple[str, ...]:
    try:
        if isinstance(texts, set | frozenset):
            raise TypeError("a set has no order")
        parsed = tuple[str, ...](texts)
        _ = [str.encode(text) for text in parsed]
    except TypeError:
        raise ValueError(f"the {what} are {repr(texts)[:60]}, not a sequence of strings") from None
    return parsed


def make_label_set_message(labels: LabelSet) -> tta_pb2.LabelSet:
    """The same set as a message."""
    duplicates, sentences = labels.allow_duplicates, _parse_sentences(labels.sentences, labels.names)
    return tta_pb2.LabelSet(
        names=labels.names,
        templates=labels.templates,
        allow_duplicates=duplicates,
        sentences=[tta_pb2.Sentences(texts=some) for some in sentences],
    )


def read_label_set(message: tta_pb2.LabelSet) -> LabelSet:
    """The same set from a message."""
    sentences = tuple(tuple(some.texts) for some in message.sentences)
    return LabelSet(tuple(message.names), tuple(message.templates), message.allow_duplicates, sentences)


class RegisteredLabels:
    """The label sets that this client has registered, by definition and by id. Thread-safe.

    It holds `most` sets and drops the least recently used.
    """

    def __init__(self, most: int = 256) -> None:
        self._most, self._lock = most, threading.Lock()
        self._ids = OrderedDict[LabelSet, str]()
        self._sets: dict[str, LabelSet] = {}

    def id(self, labels: LabelSet) -> str | None:
        """The set's id; None: it is not registered now."""
        with self._lock:
            if labels in self._ids:
                self._ids.move_to_end(labels)
            return self._ids.get(labels)

    def definition(self, labels: Labels) -> LabelSet | None:
        """The definition that an id stands for (None: this client has not registered it), or the labels themselves.

        Raises ValueError for what are no labels.
        """
        if isinstance(parsed := parse_labels(labels), LabelSet):
            return parsed
        with self._lock:
            return self._sets.get(parsed)

    def defines(self, labels: Labels) -> bool:
        """Whether the labels can be registered again: all but an id that this client has not registered."""
        return self.definition(labels) is not None

    def remember(self, labels: LabelSet, label_set_id: str) -> None:
        """The server has registered the set under this id."""
        with self._lock:
            self._ids[labels], self._sets[label_set_id] = label_set_id, labels
            while len(self._ids) > self._most:
                self._sets.pop(self._ids.popitem(last=False)[1], None)

    def forget(self, labels: Labels) -> None:
        """The server no longer has the set. Its definition stays, so that the id can be registered again."""
        definition = self.definition(labels)
        with self._lock:
            if definition is not None:
                self._ids.pop(definition, None)

    def forget_all(self) -> None:
        """The next server may have none of the sets."""
        with self._lock:
            self._ids.clear()
