"""Label sets through the text tower, encoded once for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...core.errors import ModelFault, TTAError
from ...core.labels import LabelSet, TextSpace
from ...core.strategy import Strategy
from ..concurrency.cooperative import Steps
from ..concurrency.single_flight import SingleFlight
from ..costs.model import Costs
from .entry import Shelf
from .label_sets import Definitions
from .lru import Shelves


@dataclass(frozen=True, slots=True)
class Held:
    """A label set that clients may name by id."""

    labels: LabelSet
    bytes: int  # of its text features and of what strategies and backward passes keep for it; 0 when evicted
    cached: bool  # definitions are kept while features may be evicted and encoded again
    unseen: tuple[str, ...] = ()  # names that the text tower was never taught; known while it is cached


@dataclass(frozen=True, slots=True)
class TextCounters:
    """For metrics: plain numbers that may be read from any thread."""

    definitions: int = 0
    cached: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    activations: int = 0  # bytes kept for backward passes, beside `bytes`


class TextSpaces:
    """Text spaces by label set: single flight, least recently used by bytes.

    `make` runs in `lane`, step by step where it gives a generator, so that batches get in between; the memories of
    strategies with `Scope.LABELS` are begun in `tune`. `apart` surrounds every step in the lane's thread (the pulse
    uses it, so that encoding text is not taken for a stuck batch).
    What backward passes keep has a limit of its own, `max_activations` bytes: the least recently used sets give it up.
    """

    def __init__(
        self,
        make: Callable[[LabelSet], TextSpace | Generator[None, None, TextSpace]],
        lane: Executor,
        tune: Executor,
        max_bytes: int = 256 << 20,
        max_definitions: int = 1000,
        apart: Callable[[], AbstractContextManager[None]] = nullcontext,
        max_activations: int = 1 << 30,
        costs: Costs | None = None,
    ) -> None:
        self._make, self._lane, self._tune, self._apart, self._costs = make, lane, tune, apart, costs or Costs()
        self._shelves, self._definitions = Shelves(max_bytes, max_activations), Definitions(max_definitions)
        self._encoding: SingleFlight[str, Shelf] = SingleFlight()
        self._hits = self._misses = 0
        self.counters = TextCounters()

    def __contains__(self, labels: LabelSet) -> bool:
        """It is in the cache."""
        return labels.id in self._shelves

    async def get(self, labels: LabelSet) -> TextSpace:
        """The label set through the text tower, from the cache or encoded now.

        Raises `BadLabels` for a prompt that does not fit, `ModelFault` when the tower fails; neither is remembered.
        """
        return (await self._shelf(labels)).space

    async def memory(self, strategy: Strategy[Any], labels: LabelSet) -> Any:
        """The memory of a strategy with `Scope.LABELS`: begun once per text space, never changed."""

        def grown(shelf: Shelf) -> None:
            self._shelves.weigh(shelf)
            self._publish()

        return await (await self._shelf(labels)).memory(strategy, self._tune, grown)

    def differentiated(self, labels: LabelSet) -> None:
        """A backward pass went through this set and may keep activations; those of others may have to go for it."""
        self._shelves.differentiated(labels.id)
        self._publish()

    async def put(self, labels: LabelSet) -> Held:
        """Encodes the set and keeps its definition, so that requests may name it by id. Idempotent."""
        await self.get(labels)
        self._definitions.keep(labels)
        self._publish()
        return self._held(labels)

    def labels(self, id: str) -> LabelSet:
        """The definition of that id; `UnknownLabels` when this server does not hold it."""
        return self._definitions.named(id)

    def find(self, id: str) -> Held:
        """What is held under that id; `UnknownLabels` when nothing is."""
        return self._held(self.labels(id))

    def list(self) -> tuple[Held, ...]:
        """All definitions, in the order of their ids."""
        return tuple(self._held(labels) for labels in self._definitions.all())

    def delete(self, id: str) -> None:
        """Forgets definition and features; requests in the hallway keep what they hold. `UnknownLabels`."""
        self._definitions.forget(id)
        self._shelves.drop(id)
        self._publish()

    async def _shelf(self, labels: LabelSet) -> Shelf:
        if shelf := self._shelves.use(labels.id):
            self._hits += 1
            self._publish()
            return shelf
        self._misses += 1

        def keep(shelf: Shelf) -> None:
            self._shelves.keep(labels.id, shelf)
            self._publish()

        return await self._encoding.get(labels.id, lambda: asyncio.ensure_future(self._encoded(labels)), keep)

    async def _encoded(self, labels: LabelSet) -> Shelf:
        steps = Steps(partial(self._make, labels), self._apart)
        try:
            space = await steps.done(self._lane)
        except TTAError:
            raise
        except Exception as error:
            raise ModelFault("the text tower failed on this label set") from error
        self._costs.spoke(len(labels.names) * len(labels.templates), steps.seconds)
        return Shelf(space)

    def _held(self, labels: LabelSet) -> Held:
        shelf = self._shelves.find(labels.id)
        size = shelf.bytes + shelf.space.activations if shelf else 0
        return Held(labels, size, shelf is not None, shelf.space.unseen if shelf else ())

    def _publish(self) -> None:
        shelves = self._shelves
        self.counters = TextCounters(
            definitions=len(self._definitions),
            cached=len(shelves),
            bytes=shelves.bytes,
            hits=self._hits,
            misses=self._misses,
            evicted=shelves.evicted,
            activations=shelves.activations,
        )
