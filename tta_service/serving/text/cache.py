"""The cache of text features: each label set is encoded once for all requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from cachetools import TTLCache

from ...core.errors import BadLabels, ModelFault, Overloaded, TTAError
from ...core.labels import LabelSet, TextSpace
from ...core.strategy import Strategy
from ..admission.claims import Claim, ClientQuota, Permit
from ..admission.controller import AdmissionController
from ..concurrency import CooperativeTask, SingleFlight
from ..costs.model import CostModel
from .entries import LRU, CacheEntry

REFUSALS, STOPPED, REMEMBERED = 1000, 2, 60.0  # label sets, label sets, seconds
ENCODINGS = 256  # label sets that may be encoded at a time
PROMPTS_OF_A_ROW = 8  # that take about as long to encode as a row takes in the image tower
REFUSED_FOR = 5.0  # seconds after which a client may ask again whose share of work is used up


@dataclass(frozen=True, slots=True)
class TextCounters:
    """For metrics: plain numbers that may be read from any thread."""

    cached: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    activations: int = 0  # bytes stored for backward passes, not counted in `bytes`


class TextSpaceCache:
    """Text spaces by label set, at most `max_bytes` of them; the least recently used are evicted.

    `make` runs in `lane`, step by step when it returns a generator, so that batches run in between. Memories of
    strategies with `Scope.LABELS` begin in `tune`. `pause_watchdog` surrounds every step in the lane's thread, so that
    the device watchdog does not take it for a stuck batch. The activations for backward passes have a limit of their
    own, `max_activations` bytes: the least recently used sets lose theirs. `weights` of clients: `FairShares`.

    Who has a set encoded pays for it: `pay(client, seconds)` after each step, and `quota` counts the prompts among the
    client's work until they are encoded.
    """

    def __init__(
        self,
        make: Callable[[LabelSet], TextSpace | Generator[None, None, TextSpace]],
        lane: Executor,
        tune: Executor,
        max_bytes: int = 256 << 20,
        pause_watchdog: Callable[[], AbstractContextManager[None]] = nullcontext,
        max_activations: int = 1 << 30,
        costs: CostModel | None = None,
        weights: Mapping[str, float] | None = None,
        pay: Callable[[str, float], None] = lambda client, seconds: None,
        quota: ClientQuota | None = None,
    ) -> None:
        self._make, self._lane, self._tune = make, lane, tune
        self._pause_watchdog, self._costs = pause_watchdog, costs or CostModel()
        self._pay, self._quota = pay, quota or ClientQuota()
        self._entries: LRU[CacheEntry] = LRU(max_bytes, lambda entry: entry.bytes, self._on_evicted)
        self._differentiated: LRU[CacheEntry] = LRU(  # by a backward pass
            max_activations,
            lambda entry: entry.space.activations,
            lambda id, entry: entry.space.forget_activations(),
        )
        self._encoding: SingleFlight[str, CacheEntry] = SingleFlight(stop_alone=True)
        self._stopped: TTLCache[str, CooperativeTask[TextSpace]] = TTLCache(STOPPED, REMEMBERED, time.monotonic)
        self._refused: TTLCache[str, tuple[type[TTAError], str, str]] = TTLCache(REFUSALS, REMEMBERED, time.monotonic)
        self.turns = AdmissionController(1, ENCODINGS, weights=weights)
        self._hits = self._misses = self._evicted = self._bytes = self._activations = 0

    @property
    def counters(self) -> TextCounters:
        """The present numbers; any thread may read them."""
        return TextCounters(
            cached=len(self._entries),
            bytes=self._bytes,
            hits=self._hits,
            misses=self._misses,
            evicted=self._evicted,
            activations=self._activations,
        )

    def __contains__(self, labels: LabelSet) -> bool:
        """Its features are cached."""
        return labels.id in self._entries

    async def get(self, labels: LabelSet, client: str = "") -> TextSpace:
        """The text features of the label set, from the cache or encoded now, step by step as clients take turns.

        Raises `BadLabels` for a prompt that does not fit, `ModelFault` when the tower fails, `Overloaded` when too many
        sets or prompts are being encoded. A refusal is remembered for `REMEMBERED` seconds. Encoding stops when nobody
        waits for it, and goes on with the next who asks.
        """
        return (await self._entry(labels, client)).space

    async def memory(self, strategy: Strategy[Any], labels: LabelSet) -> Any:
        """The memory of a strategy with `Scope.LABELS`: begun once for each text space, and never changed."""
        entry = await self._entry(labels)

        def on_grown() -> None:
            if self._entries.peek(labels.id) is entry:  # not evicted meanwhile
                self._store(labels.id, entry)

        return await entry.memory(strategy, self._tune, on_grown)

    def backward_done(self, labels: LabelSet) -> None:
        """A backward pass has run and may have stored activations for this set; other sets may lose theirs."""
        if entry := self._entries.peek(labels.id):
            self._differentiated.put(labels.id, entry)
            self._measure()

    def peek(self, labels: LabelSet) -> CacheEntry | None:
        """What is cached of the label set; the order of use does not change."""
        return self._entries.peek(labels.id)

    def forget(self, id: str) -> None:
        """Drops the features of that label set id; requests in progress go on with theirs."""
        for held in (self._entries, self._differentiated):
            held.pop(id, None)
        self._measure()

    async def _entry(self, labels: LabelSet, client: str = "") -> CacheEntry:
        if entry := self._entries.get(labels.id):
            self._hits += 1
            return entry
        self._misses += 1
        if refusal := self._refused.get(labels.id):
            kind, message, field = refusal
            raise kind(message, field)

        def on_made(entry: CacheEntry) -> None:
            self._store(labels.id, entry)

        return await self._encoding.get(labels.id, lambda: asyncio.ensure_future(self._encode(labels, client)), on_made)

    async def _encode(self, labels: LabelSet, client: str) -> CacheEntry:
        stopped = self._stopped.pop(labels.id, None)
        task = stopped or CooperativeTask(partial(self._make, labels), self._pause_watchdog)
        paid = task.seconds

        def pay() -> None:
            nonlocal paid
            self._pay(client, task.seconds - paid)
            paid = task.seconds

        async def take_turn() -> Permit:
            pay()
            return await self.turns.acquire(Claim(1, client=client))

        try:
            with self._quota.hold(client, -(-labels.prompt_count // PROMPTS_OF_A_ROW), lambda: REFUSED_FOR):
                space = await task.run(self._lane, take_turn)
        except asyncio.CancelledError:
            self._stopped[labels.id] = task
            raise
        except Overloaded:
            if stopped or task.seconds:  # what is done of it is there for the next who asks
                self._stopped[labels.id] = task
            raise
        except BadLabels as error:
            self._refused[labels.id] = type(error), error.message, error.field
            raise
        except TTAError:
            raise
        except Exception as error:
            raise ModelFault("the text tower failed on this label set") from error
        finally:
            pay()
        self._costs.learn_text(labels.prompt_count, task.seconds)
        return CacheEntry(space)

    def _store(self, id: str, entry: CacheEntry) -> None:
        self._entries.put(id, entry)
        self._measure()

    def _on_evicted(self, id: str, entry: CacheEntry) -> None:
        self._evicted += 1
        self._differentiated.pop(id, None)

    def _measure(self) -> None:
        entries = self._entries.peek_all().values()
        self._bytes = sum(entry.bytes for entry in entries)
        self._activations = sum(entry.space.activations for entry in entries)
