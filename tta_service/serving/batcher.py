"""Share the image tower: rows of whoever waits, as many as the budget allows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import ModelFault, NotReady, TTAError
from ..core.events import Forward, Observe, ignore
from ..core.labels import TextSpace
from ..core.reducer import Reduction
from .jobs import Job, Part, Rows, pack
from .lanes import run
from .pulse import Pulse

Encode = Callable[[Tensor, Reduction, Tensor | None], Tensor]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """For metrics: plain numbers that may be read from any thread."""

    jobs: int = 0
    rows: int = 0


class Batcher:
    """While one batch is on the device the next one gathers. No timer: an idle device takes what comes at once.

    `encode(pixels [b, 3, s, s] uint8, reduction, guide [c, d] or None) -> [b, d]` runs in `lane`, one batch at a time,
    of at most `max_rows` rows.
    """

    def __init__(
        self, encode: Encode, lane: Executor, max_rows: int, observe: Observe = ignore, pulse: Pulse | None = None
    ) -> None:
        self._encode, self._lane, self.max_rows = encode, lane, max_rows
        self._observe, self._pulse = observe, pulse or Pulse()
        self._waiting: deque[Part] = deque()
        self._arrived = asyncio.Event()
        self.counters = QueueCounters()  # who waits; callers who have left are counted until the next batch forms

    def submit(self, pixels: Tensor, reduction: Reduction, text: TextSpace | None = None) -> asyncio.Future[Rows]:
        """Queues views [v, 3, s, s] uint8. Cancelling the future withdraws them until their batch forms.

        Fails with `ModelFault` when the tower raises on these rows alone, or their features are not finite.
        """
        done: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        job = Job(pixels, len(pixels), reduction, text, time.monotonic(), done)
        self._waiting.extend(job.parts(self.max_rows))
        self.counters = QueueCounters(self.counters.jobs + 1, self.counters.rows + job.rows)
        self._arrived.set()
        return done

    async def encode(self, pixels: Tensor, reduction: Reduction, text: TextSpace | None = None) -> Rows:
        """`submit`, and wait."""
        return await self.submit(pixels, reduction, text)

    async def run(self) -> None:
        """Serves for ever. When it is cancelled, whoever still waits hears that the server is stopping."""
        batch: list[Part] = []
        try:
            while True:
                await self._arrived.wait()
                batch, self._waiting = pack(self._waiting, self.max_rows)
                self.counters = _counted(self._waiting)
                if batch:
                    await self._serve(batch)
                else:
                    self._arrived.clear()
        finally:
            for part in (*batch, *self._waiting):
                part.job.fail(NotReady("the server is stopping"))

    async def _serve(self, batch: list[Part]) -> None:
        try:
            await self._forward_or_each(batch)
        except Exception as error:  # of an observer, say: the next batch must not suffer for it
            log.exception("serving a batch of %d jobs", len(batch))
            for part in batch:
                part.job.fail(ModelFault(f"serving this batch failed: {type(error).__name__}"))

    async def _forward_or_each(self, batch: list[Part]) -> None:
        if await self._forward(batch) is None:
            return
        for part in batch:  # one of them may have spoilt it for the others
            error = None if part.job.done.done() else await self._forward([part])
            if error is not None:
                log.error("the image tower raised twice on %d rows", len(part), exc_info=error)
                fault = ModelFault("the image tower failed on this image")
                fault.__cause__ = error
                part.job.fail(fault)

    async def _forward(self, batch: list[Part]) -> Exception | None:
        """One batch through the tower. Returns what it raised; a refusal is every caller's own and not the tower's."""
        rows = sum(len(part) for part in batch)
        reducer = batch[0].job.reduction.reducer.name
        began = time.monotonic()
        self._pulse.began(rows)
        try:
            broken = await run(self._lane, self._encode_parts, batch)
        except TTAError as error:
            self._pulse.refused()
            for part in batch:
                part.job.fail(error)
            return None
        except Exception as error:
            self._pulse.failed(error)
            self._observe(Forward(rows, len(batch), time.monotonic() - began, reducer, failed=True))
            return error
        seconds = time.monotonic() - began
        self._pulse.ended(finite=not broken)
        self._observe(Forward(rows, len(batch), seconds, reducer, failed=bool(broken)))
        for part in batch:
            job = part.job
            job.encode, job.batch_rows = job.encode + seconds, max(job.batch_rows, rows)
            if part in broken:
                job.fail(ModelFault("the features of this image are not finite"))
            elif sum(map(len, job.pieces.values())) == job.rows and not job.done.done():
                waited = time.monotonic() - job.arrived - job.encode
                job.done.set_result(Rows(job.pieces[0], max(0.0, waited), job.encode, job.batch_rows))
        return None

    def _encode_parts(self, batch: list[Part]) -> set[Part]:
        """In the lane: gather, encode, hand out. Returns the parts whose features are not finite."""
        first = batch[0].job
        pixels = [part.job.pixels[part.start : part.stop] for part in batch]
        guide = first.text.features if first.reduction.reducer.guided and first.text else None
        features = self._encode(torch.cat(pixels) if len(pixels) > 1 else pixels[0], first.reduction, guide)
        finite = features.isfinite().all(-1)  # [b]
        broken: set[Part] = set()
        at = 0
        for part in batch:
            job, rows = part.job, slice(at, at := at + len(part))
            if not finite[rows].all():
                broken.add(part)
            job.pieces[part.start] = features[rows]
            if len(job.pieces) > 1 and sum(map(len, job.pieces.values())) == job.rows:
                job.pieces = {0: torch.cat([job.pieces[start] for start in sorted(job.pieces)])}
        return broken


def _counted(waiting: Collection[Part]) -> QueueCounters:
    return QueueCounters(len({id(part.job) for part in waiting}), sum(len(part) for part in waiting))
