"""One text space in the cache, with the memories of strategies that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import torch

from ...core.errors import ModelFault, TTAError
from ...core.labels import TextSpace
from ...core.memory import nbytes
from ...core.strategy import Strategy
from ..concurrency.executors import run
from ..concurrency.single_flight import SingleFlight


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

    async def memory(self, strategy: Strategy[Any], tune: Executor, on_grown: Callable[[CacheEntry], None]) -> Any:
        """The strategy's memory, begun once, in the lane `tune`; `on_grown` is called when it has been stored."""
        if strategy in self.memories:
            return self.memories[strategy]

        def on_made(memory: Any) -> None:
            self.memories[strategy] = memory
            on_grown(self)

        return await self.begin_once.get(strategy, lambda: run(tune, _begin, strategy, self.space), on_made)


def _begin(strategy: Strategy[Any], space: TextSpace) -> Any:
    try:
        with torch.enable_grad():
            return strategy.begin(space)
    except TTAError:
        raise
    except Exception as error:
        raise ModelFault(f"{strategy.name} failed to begin on this label set") from error
