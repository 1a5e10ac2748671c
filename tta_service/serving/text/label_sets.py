"""Definitions of label sets that clients name by id. They stay when their features are evicted."""

from __future__ import annotations

from collections import OrderedDict

from ...core.errors import UnknownLabels
from ...core.labels import LabelSet


class LabelSetRegistry:
    """At most `capacity` definitions; the least recently used one is dropped first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._label_sets: OrderedDict[str, LabelSet] = OrderedDict()

    def __len__(self) -> int:
        return len(self._label_sets)

    def register(self, labels: LabelSet) -> None:
        """Adds the definition; it is the most recently used one now."""
        self._label_sets[labels.id] = labels
        self._label_sets.move_to_end(labels.id)
        while len(self._label_sets) > self._capacity:
            self._label_sets.popitem(last=False)

    def get(self, id: str) -> LabelSet:
        """The definition of that id, now the most recently used one. Raises `UnknownLabels`."""
        if id not in self._label_sets:
            raise UnknownLabels(f"no label set {id!r} is held here; register it again", "labels.id")
        self._label_sets.move_to_end(id)
        return self._label_sets[id]

    def all(self) -> tuple[LabelSet, ...]:
        """In the order of their ids."""
        return tuple(self._label_sets[id] for id in sorted(self._label_sets))

    def delete(self, id: str) -> None:
        """Drops the definition. Raises `UnknownLabels`."""
        self.get(id)
        del self._label_sets[id]
