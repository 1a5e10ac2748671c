"""The batcher: fills each forward of the image tower with rows of all waiting requests."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

import torch
from torch import Tensor

from ...core.errors import ModelFault, NotReady, TTAError
from ...core.events import Forward, Observe, ignore
from ...core.labels import TextSpace
from ...core.reducer import Reduction
from ..concurrency import run
from ..costs.model import CostModel
from .device_health import DeviceHealth
from .jobs import Job, JobSlice, Rows
from .queue import BatchQueue, QueueCounters, RunningForward

Encode = Callable[[Tensor, Reduction, Tensor | None], Tensor]  # pixels, reduction, guide -> features
log = logging.getLogger(__name__)


class Batcher:
    """While one batch is on the device, the next one gathers. No timer: an idle device starts a job at once.

    `encode(pixels [b, 3, s, s] uint8, reduction, guide [c, d] or None) -> [b, d]` runs in `lane`, one batch at a time,
    of at most `max_rows` rows. `costs` learns how long a forward takes; the queue orders urgent jobs by it. `observe`
    receives a `Forward` for each batch, `health` its start and end. `weights` of clients: `FairShares`.
    """

    def __init__(
        self,
        encode: Encode,
        lane: Executor,
        max_rows: int,
        observe: Observe = ignore,
        health: DeviceHealth | None = None,
        costs: CostModel | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._encode, self._lane, self._observe, self._health = encode, lane, observe, health or DeviceHealth()
        self.queue = BatchQueue(max_rows, costs or CostModel(max_rows), weights)
        self._arrived = asyncio.Event()

    @property
    def max_rows(self) -> int:
        """Rows of a full batch."""
        return self.queue.max_rows

    @property
    def counters(self) -> QueueCounters:
        """Jobs and rows that wait. May be read from any thread."""
        return self.queue.counters

    def submit(
        self,
        pixels: Tensor,
        reduction: Reduction,
        text: TextSpace | None = None,
        *,
        due: float = math.inf,
        fewest: int = 0,
        rest: int = 0,
        client: str = "",
    ) -> asyncio.Future[Rows]:
        """Queues views [v, 3, s, s] uint8. Cancelling the future withdraws them, until their batch forms.

        Rows that cannot be done by `due` (monotonic seconds) are left out, the last ones first. If fewer than `fewest`
        are left, at most `rest` of them are encoded. So the result may have fewer rows, or none. `text` guides the
        reducers that need it. Clients have fair shares of the tower.
        The future fails with `ModelFault` when the tower raises on these rows alone or their features are not finite,
        with `NotReady` when the service stops, and with the tower's own `TTAError` when it refuses the reduction.
        """
        done: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        job = Job(pixels, len(pixels), reduction, text, time.monotonic(), done, due, fewest, rest, client)
        self.queue.waiting.append(job)
        if math.isfinite(due):
            timer = asyncio.get_running_loop().call_later(due - job.arrived, job.settle_partial)
            done.add_done_callback(lambda _: timer.cancel())
        self._arrived.set()
        return done

    async def encode(self, pixels: Tensor, reduction: Reduction, text: TextSpace | None = None) -> Rows:
        """Submits the views and waits for their rows."""
        return await self.submit(pixels, reduction, text)

    async def run(self) -> None:
        """Serves batches until it is cancelled; then the jobs that still wait fail with `NotReady`."""
        batch: list[JobSlice] = []
        try:
            while True:
                if not self.queue.waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                if batch := self.queue.next_batch(time.monotonic()):
                    await self._serve(batch)
        finally:
            for job in (*(part.job for part in batch), *self.queue.waiting):
                job.fail(NotReady("the server is stopping"))

    async def _serve(self, batch: list[JobSlice]) -> None:
        """Runs the batch; if the tower raises, each job by itself, as perhaps only one of them made the batch fail."""
        try:
            if await self._forward(batch) is None:
                return
            for part in batch:
                error = None if part.job.done.done() else await self._forward([part])
                if error is not None:
                    log.error("the image tower raised twice on %d rows", part.rows, exc_info=error)
                    fault = ModelFault("the image tower failed on this image")
                    fault.__cause__ = error
                    part.job.fail(fault)
        except Exception as error:  # of an observer, for example: the loop must go on
            log.exception("serving a batch of %d jobs", len(batch))
            for part in batch:
                part.job.fail(ModelFault(f"serving this batch failed: {type(error).__name__}"))

    async def _forward(self, batch: list[JobSlice]) -> Exception | None:
        """Sends one batch through the tower. Returns the error it raised; a refusal fails the jobs instead."""
        rows, began = sum(part.rows for part in batch), time.monotonic()
        reducer = batch[0].job.reduction.reducer
        self._health.batch_started(rows)
        self.queue.running = RunningForward(reducer, rows, began)
        try:
            broken, seconds = await run(self._lane, run_batch, self._encode, batch)
        except TTAError as error:
            self._health.batch_refused()
            for part in batch:
                part.job.fail(error)
            return None
        except Exception as error:
            self._health.batch_failed(error)
            self._observe(Forward(rows, len(batch), time.monotonic() - began, reducer.name, failed=True))
            return error
        finally:
            self.queue.running = None
        now = time.monotonic()
        self.queue.costs.learn_forward(reducer, rows, seconds)
        self._health.batch_ended(finite=not broken)
        self._observe(Forward(rows, len(batch), seconds, reducer.name, failed=bool(broken)))
        for part in batch:
            job = part.job
            job.encode, job.batch_rows = job.encode + seconds, max(job.batch_rows, rows)
            if part in broken:
                job.fail(ModelFault("the features of this image are not finite"))
            else:
                job.settle(now)
        return None


def run_batch(encode: Encode, batch: Sequence[JobSlice]) -> tuple[set[JobSlice], float]:
    """Gathers the rows of a batch, encodes them and scatters the features to the jobs. Runs in the device lane.

    Returns the slices with features that are not finite, and the seconds.
    """
    began = time.monotonic()
    first = batch[0].job
    pixels = concatenate([part.job.pixels[part.start : part.start + part.rows] for part in batch])
    guide = first.text.features if first.reduction.reducer.guided and first.text else None
    features = encode(pixels, first.reduction, guide)
    finite = features.isfinite().all(-1)  # [b]
    broken: set[JobSlice] = set()
    at = 0
    for part in batch:
        rows = slice(at, at := at + part.rows)
        if not finite[rows].all():
            broken.add(part)
        part.job.pieces[part.start] = features[rows]
    return broken, time.monotonic() - began


def concatenate(pieces: Sequence[Tensor]) -> Tensor:
    """Rows of several jobs as one tensor [b, …]. If some lie on an accelerator, the others are copied to it."""
    if len(pieces) == 1:
        return pieces[0]
    where = next((piece.device for piece in pieces if piece.device.type != "cpu"), pieces[0].device)
    return torch.cat([piece.to(where) for piece in pieces])
