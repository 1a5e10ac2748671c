"""What is cached of a label set, and a cache that evicts what was used least recently."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from cachetools import LRUCache

from ...core.errors import ModelFault, TTAError
from ...core.labels import TextSpace
from ...core.memory import nbytes
from ...core.strategy import Strategy
from ..concurrency import SingleFlight, run

V = TypeVar("V")


class LRU(LRUCache[str, V]):
    """Values by label set id, of `maxsize` in all; the one put in last stays, however large.

    A size is taken when a value is put in. `on_evict(id, value)` is called for each that makes room for another.
    """

    def __init__(
        self,
        maxsize: int,
        getsizeof: Callable[[V], int] = lambda value: 1,
        on_evict: Callable[[str, V], None] = lambda id, value: None,
    ) -> None:
        room = max(1, maxsize)
        super().__init__(room, lambda value: min(room, getsizeof(value)))  # what is larger fills it alone
        self._on_evict = on_evict

    def peek(self, id: str) -> V | None:
        """The value, if there is one; the order of use does not change."""
        return super(LRUCache, self).__getitem__(id) if id in self else None

    def peek_all(self) -> dict[str, V]:
        """All values by id; the order of use does not change."""
        peek = super(LRUCache, self).__getitem__
        return {id: peek(id) for id in self}

    def put(self, id: str, value: V) -> None:
        """Puts the value in, measured anew if it is there already; it is the most recently used one now."""
        self.pop(id, None)  # else it might be evicted to make room for itself
        self[id] = value

    def popitem(self) -> tuple[str, V]:
        """Evicts the least recently used value."""
        id, value = super().popitem()
        self._on_evict(id, value)
        return id, value


@dataclass(slots=True, eq=False)
class CacheEntry:
    """A text space and the memories of `Scope.LABELS` that began with it. They are evicted together."""

    space: TextSpace
    memories: dict[Strategy[Any], Any] = field(default_factory=dict[Strategy[Any], Any])
    begin_once: SingleFlight[Strategy[Any], Any] = field(default_factory=SingleFlight[Strategy[Any], Any])

    @property
    def bytes(self) -> int:
        """The size of features and memories, without activations."""
        return self.space.bytes + sum(nbytes(memory) for memory in self.memories.values())

    async def memory(self, strategy: Strategy[Any], tune: Executor, on_grown: Callable[[], None]) -> Any:
        """The strategy's memory, begun once, in the lane `tune`; `on_grown` is called when it has been stored."""
        if strategy in self.memories:
            return self.memories[strategy]

        def on_made(memory: Any) -> None:
            self.memories[strategy] = memory
            on_grown()

        return await self.begin_once.get(strategy, lambda: run(tune, _begin, strategy, self.space), on_made)


def _begin(strategy: Strategy[Any], space: TextSpace) -> Any:
    try:
        with torch.enable_grad():
            return strategy.begin(space)
    except TTAError:
        raise
    except Exception as error:
        raise ModelFault(f"{strategy.name} failed to begin on this label set") from error
