"""Label sets that clients may name by id: they outlive their features."""

from __future__ import annotations

from collections import OrderedDict

from ...core.errors import UnknownLabels
from ...core.labels import LabelSet


class Definitions:
    """At most so many; the least recently named one goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str, LabelSet] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, labels: LabelSet) -> None:
        self._held[labels.id] = labels
        self._held.move_to_end(labels.id)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def named(self, id: str) -> LabelSet:
        """`UnknownLabels` when this server does not hold it."""
        if id not in self._held:
            raise UnknownLabels(f"no label set {id!r} is held here; register it again", "labels.id")
        self._held.move_to_end(id)
        return self._held[id]

    def all(self) -> tuple[LabelSet, ...]:
        """In the order of their ids."""
        return tuple(self._held[id] for id in sorted(self._held))

    def forget(self, id: str) -> None:
        """`UnknownLabels`."""
        self.named(id)
        del self._held[id]
