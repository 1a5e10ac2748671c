"""Label sets that clients may name by id: they outlive their features."""

from __future__ import annotations

from collections import OrderedDict

from ...core.errors import UnknownLabels
from ...core.labels import LabelSet


class LabelSetRegistry:
    """At most so many; the least recently named one goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._label_sets: OrderedDict[str, LabelSet] = OrderedDict()

    def __len__(self) -> int:
        return len(self._label_sets)

    def register(self, labels: LabelSet) -> None:
        self._label_sets[labels.id] = labels
        self._label_sets.move_to_end(labels.id)
        while len(self._label_sets) > self._most:
            self._label_sets.popitem(last=False)

    def get(self, id: str) -> LabelSet:
        """`UnknownLabels` when this server does not hold it."""
        if id not in self._label_sets:
            raise UnknownLabels(f"no label set {id!r} is held here; register it again", "labels.id")
        self._label_sets.move_to_end(id)
        return self._label_sets[id]

    def all(self) -> tuple[LabelSet, ...]:
        """In the order of their ids."""
        return tuple(self._label_sets[id] for id in sorted(self._label_sets))

    def delete(self, id: str) -> None:
        """`UnknownLabels`."""
        self.get(id)
        del self._label_sets[id]
