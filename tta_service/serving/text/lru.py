"""Text spaces that stay at hand, least recently used first."""

from __future__ import annotations

from collections import OrderedDict

from .entry import CacheEntry


class TextSpaceLRU:
    """By label set id, `max_bytes` in all; what backward passes keep for them has a limit of its own.

    `bytes`, `activations` (those of backward passes, beside `bytes`) and `evicted` are plain numbers.
    """

    def __init__(self, max_bytes: int, max_activations: int) -> None:
        self._max_bytes, self._max_activations = max_bytes, max_activations
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()
        self.bytes = self.activations = self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, id: str) -> bool:
        return id in self._entries

    def peek(self, id: str) -> CacheEntry | None:
        """Without anybody using it."""
        return self._entries.get(id)

    def get(self, id: str) -> CacheEntry | None:
        """It is the most recently used one now."""
        if entry := self._entries.get(id):
            self._entries.move_to_end(id)
        return entry

    def put(self, id: str, entry: CacheEntry) -> None:
        """Others may have to go for it."""
        self._entries[id] = entry
        self.evict(entry)

    def evict(self, newest: CacheEntry) -> None:
        """Evicts from the least recently used end; the set that was just asked for stays, however large."""
        self.bytes = sum(entry.bytes for entry in self._entries.values())
        for id, shelf in list(self._entries.items()):
            if self.bytes <= self._max_bytes:
                break
            if shelf is not newest:
                self.drop(id)
                self.evicted += 1

    def drop(self, id: str) -> None:
        """It goes, if it is there."""
        if entry := self._entries.pop(id, None):
            self.bytes -= entry.bytes
            self.activations -= entry.space.activations

    def backward_done(self, newest: str) -> None:
        """A backward pass went through that set and may keep activations; those of others may have to go for it."""
        activations = {id: entry.space.activations for id, entry in self._entries.items()}
        self.activations = sum(activations.values())
        for id, shelf in self._entries.items():  # least recently used first
            if self.activations > self._max_activations and id != newest:
                self.activations -= activations[id]
                shelf.space.forget_activations()
