"""Cached text spaces, least recently used first."""

from __future__ import annotations

from collections import OrderedDict

from .entry import CacheEntry


class TextSpaceLRU:
    """Entries by label set id, at most `max_bytes` of them; activations for backward passes have their own limit.

    `bytes`, `activations` (in bytes, not counted in `bytes`) and `evicted` are plain numbers.
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
        """The entry; the order of use does not change."""
        return self._entries.get(id)

    def get(self, id: str) -> CacheEntry | None:
        """The entry, now the most recently used one."""
        if entry := self._entries.get(id):
            self._entries.move_to_end(id)
        return entry

    def put(self, id: str, entry: CacheEntry) -> None:
        """Stores the entry; others are evicted to make room for it."""
        self._entries[id] = entry
        self.evict(entry)

    def evict(self, newest: CacheEntry) -> None:
        """Evicts the least recently used entries until the rest fits; `newest` stays, however large."""
        self.bytes = sum(entry.bytes for entry in self._entries.values())
        for id, entry in list(self._entries.items()):
            if self.bytes <= self._max_bytes:
                break
            if entry is not newest:
                self.drop(id)
                self.evicted += 1

    def drop(self, id: str) -> None:
        """Removes the entry, if there is one."""
        if entry := self._entries.pop(id, None):
            self.bytes -= entry.bytes
            self.activations -= entry.space.activations

    def backward_done(self, newest: str) -> None:
        """A backward pass has run and may have stored activations for that set; other sets may lose theirs."""
        activations = {id: entry.space.activations for id, entry in self._entries.items()}
        self.activations = sum(activations.values())
        for id, entry in self._entries.items():  # least recently used first
            if self.activations > self._max_activations and id != newest:
                self.activations -= activations[id]
                entry.space.forget_activations()
