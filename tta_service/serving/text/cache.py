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
from ..concurrency.cooperative import CooperativeTask
from ..concurrency.single_flight import SingleFlight
from ..costs.model import CostModel
from .entry import CacheEntry
from .label_sets import LabelSetRegistry
from .lru import TextSpaceLRU


@dataclass(frozen=True, slots=True)
class CachedLabelSet:
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


class TextSpaceCache:
    """Text spaces by label set: single flight, least recently used by bytes.

    `make` runs in `lane`, step by step where it gives a generator, so that batches get in between; the memories of
    strategies with `Scope.LABELS` are begun in `tune`. `pause_watchdog` surrounds every step in the lane's thread (the
    pulse uses it, so that encoding text is not taken for a stuck batch). What backward passes keep has a limit of its
    own, `max_activations` bytes: the least recently used sets give it up.
    """

    def __init__(
        self,
        make: Callable[[LabelSet], TextSpace | Generator[None, None, TextSpace]],
        lane: Executor,
        tune: Executor,
        max_bytes: int = 256 << 20,
        max_definitions: int = 1000,
        pause_watchdog: Callable[[], AbstractContextManager[None]] = nullcontext,
        max_activations: int = 1 << 30,
        costs: CostModel | None = None,
    ) -> None:
        self._make, self._lane, self._tune, self._pause_watchdog, self._costs = (
            make,
            lane,
            tune,
            pause_watchdog,
            costs or CostModel(),
        )
        self._entries, self._label_sets = TextSpaceLRU(max_bytes, max_activations), LabelSetRegistry(max_definitions)
        self._encoding: SingleFlight[str, CacheEntry] = SingleFlight()
        self._hits = self._misses = 0
        self.counters = TextCounters()

    def __contains__(self, labels: LabelSet) -> bool:
        """It is in the cache."""
        return labels.id in self._entries

    async def get(self, labels: LabelSet) -> TextSpace:
        """The label set through the text tower, from the cache or encoded now.

        Raises `BadLabels` for a prompt that does not fit, `ModelFault` when the tower fails; neither is remembered.
        """
        return (await self._entry(labels)).space

    async def memory(self, strategy: Strategy[Any], labels: LabelSet) -> Any:
        """The memory of a strategy with `Scope.LABELS`: begun once per text space, never changed."""

        def on_grown(shelf: CacheEntry) -> None:
            self._entries.evict(shelf)
            self._publish()

        return await (await self._entry(labels)).memory(strategy, self._tune, on_grown)

    def backward_done(self, labels: LabelSet) -> None:
        """A backward pass went through this set and may keep activations; those of others may have to go for it."""
        self._entries.backward_done(labels.id)
        self._publish()

    async def put(self, labels: LabelSet) -> CachedLabelSet:
        """Encodes the set and keeps its definition, so that requests may name it by id. Idempotent."""
        await self.get(labels)
        self._label_sets.register(labels)
        self._publish()
        return self._describe(labels)

    def labels(self, id: str) -> LabelSet:
        """The definition of that id; `UnknownLabels` when this server does not hold it."""
        return self._label_sets.get(id)

    def find(self, id: str) -> CachedLabelSet:
        """What is held under that id; `UnknownLabels` when nothing is."""
        return self._describe(self.labels(id))

    def list(self) -> tuple[CachedLabelSet, ...]:
        """All definitions, in the order of their ids."""
        return tuple(self._describe(labels) for labels in self._label_sets.all())

    def delete(self, id: str) -> None:
        """Forgets definition and features; requests in the hallway keep what they hold. `UnknownLabels`."""
        self._label_sets.delete(id)
        self._entries.drop(id)
        self._publish()

    async def _entry(self, labels: LabelSet) -> CacheEntry:
        if shelf := self._entries.get(labels.id):
            self._hits += 1
            self._publish()
            return shelf
        self._misses += 1

        def keep(entry: CacheEntry) -> None:
            self._entries.put(labels.id, entry)
            self._publish()

        return await self._encoding.get(labels.id, lambda: asyncio.ensure_future(self._encode(labels)), keep)

    async def _encode(self, labels: LabelSet) -> CacheEntry:
        task = CooperativeTask(partial(self._make, labels), self._pause_watchdog)
        try:
            space = await task.run(self._lane)
        except TTAError:
            raise
        except Exception as error:
            raise ModelFault("the text tower failed on this label set") from error
        self._costs.learn_text(len(labels.names) * len(labels.templates), task.seconds)
        return CacheEntry(space)

    def _describe(self, labels: LabelSet) -> CachedLabelSet:
        entry = self._entries.peek(labels.id)
        size = entry.bytes + entry.space.activations if entry else 0
        return CachedLabelSet(labels, size, entry is not None, entry.space.unseen if entry else ())

    def _publish(self) -> None:
        entries = self._entries
        self.counters = TextCounters(
            definitions=len(self._label_sets),
            cached=len(entries),
            bytes=entries.bytes,
            hits=self._hits,
            misses=self._misses,
            evicted=entries.evicted,
            activations=entries.activations,
        )
