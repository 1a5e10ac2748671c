"""Text spaces that stay at hand, least recently used first."""

from __future__ import annotations

from collections import OrderedDict

from .entry import Shelf


class Shelves:
    """By label set id, `max_bytes` in all; what backward passes keep for them has a limit of its own.

    `bytes`, `activations` (those of backward passes, beside `bytes`) and `evicted` are plain numbers.
    """

    def __init__(self, max_bytes: int, max_activations: int) -> None:
        self._max_bytes, self._max_activations = max_bytes, max_activations
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self.bytes = self.activations = self.evicted = 0

    def __len__(self) -> int:
        return len(self._shelves)

    def __contains__(self, id: str) -> bool:
        return id in self._shelves

    def find(self, id: str) -> Shelf | None:
        """Without anybody using it."""
        return self._shelves.get(id)

    def use(self, id: str) -> Shelf | None:
        """It is the most recently used one now."""
        if shelf := self._shelves.get(id):
            self._shelves.move_to_end(id)
        return shelf

    def keep(self, id: str, shelf: Shelf) -> None:
        """Others may have to go for it."""
        self._shelves[id] = shelf
        self.weigh(shelf)

    def weigh(self, newest: Shelf) -> None:
        """Evicts from the least recently used end; the set that was just asked for stays, however large."""
        self.bytes = sum(shelf.bytes for shelf in self._shelves.values())
        for id, shelf in list(self._shelves.items()):
            if self.bytes <= self._max_bytes:
                break
            if shelf is not newest:
                self.drop(id)
                self.evicted += 1

    def drop(self, id: str) -> None:
        """It goes, if it is there."""
        if shelf := self._shelves.pop(id, None):
            self.bytes -= shelf.bytes
            self.activations -= shelf.space.activations

    def differentiated(self, newest: str) -> None:
        """A backward pass went through that set and may keep activations; those of others may have to go for it."""
        kept = {id: shelf.space.activations for id, shelf in self._shelves.items()}
        self.activations = sum(kept.values())
        for id, shelf in self._shelves.items():  # least recently used first
            if self.activations > self._max_activations and id != newest:
                self.activations -= kept[id]
                shelf.space.forget_activations()
