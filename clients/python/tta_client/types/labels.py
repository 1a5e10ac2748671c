"""Label sets: what to tell apart, registered once and then named by id."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ..v1 import tta_pb2


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Names, distinct unless duplicates are allowed, and sentences in which `{}` stands for the name (none: the
    server's own).
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ()
    allow_duplicates: bool = False  # classes of one name are told apart by their index


Labels = str | Sequence[str] | LabelSet
"""An id, some names, or names with templates."""


def label_set(labels: Sequence[str] | LabelSet) -> LabelSet:
    return labels if isinstance(labels, LabelSet) else LabelSet(tuple(labels))


def label_set_message(labels: LabelSet) -> tta_pb2.LabelSet:
    twins = labels.allow_duplicates
    return tta_pb2.LabelSet(names=labels.names, templates=labels.templates, allow_duplicates=twins)


class RegisteredLabels:
    """What this client has registered, both ways; the least recently used sets are forgotten. Thread-safe."""

    def __init__(self, most: int = 256) -> None:
        self._most, self._lock = most, threading.Lock()
        self._ids = OrderedDict[LabelSet, str]()
        self._sets: dict[str, LabelSet] = {}

    def id(self, labels: LabelSet) -> str | None:
        with self._lock:
            if labels in self._ids:
                self._ids.move_to_end(labels)
            return self._ids.get(labels)

    def definition(self, labels: Labels) -> LabelSet | None:
        """The definition behind an id (None: this client never saw it), or the labels themselves."""
        if not isinstance(labels, str):
            return label_set(labels)
        with self._lock:
            return self._sets.get(labels)

    def defines(self, labels: Labels) -> bool:
        """Whether they can be registered: anything but an id that this client never saw."""
        return self.definition(labels) is not None

    def remember(self, labels: LabelSet, label_set_id: str) -> None:
        with self._lock:
            self._ids[labels], self._sets[label_set_id] = label_set_id, labels
            while len(self._ids) > self._most:
                self._sets.pop(self._ids.popitem(last=False)[1], None)

    def forget(self, labels: Labels) -> None:
        """The server does not have it any more; the definition stays, so that it can be registered again."""
        definition = self.definition(labels)
        with self._lock:
            if definition is not None:
                self._ids.pop(definition, None)

    def forget_all(self) -> None:
        """Another service may answer from now on."""
        with self._lock:
            self._ids.clear()
