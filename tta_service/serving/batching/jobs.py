"""Jobs of the image tower: the views of one caller, slices of them, and the rows that come out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...core.labels import TextSpace
from ...core.reducer import Reduction


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The features of one job."""

    pieces: tuple[Tensor, ...]  # [*, d] each, in order; unit norm, finite, float32 on the CPU
    count: int  # of all pieces together
    queue: float  # seconds that they waited
    encode: float  # seconds of their forwards
    batch_rows: int  # rows of the largest forward that some of them shared

    @property
    def features(self) -> Tensor:
        """All rows [v, d]. May copy: call it in a lane, not on the event loop."""
        return self.pieces[0] if len(self.pieces) == 1 else torch.cat(self.pieces)


@dataclass(slots=True, eq=False)
class Job:
    """The views of one caller.

    Rows that cannot be encoded by `due` are left out, the last ones first. If fewer than `fewest` are left, at most
    `rest` of them are encoded.
    """

    pixels: Tensor  # [v, 3, s, s] uint8
    rows: int  # that are wanted: v, or fewer once some were left out
    reduction: Reduction
    text: TextSpace | None  # read by guided reducers only
    arrived: float  # monotonic seconds
    done: asyncio.Future[Rows]
    due: float = math.inf  # monotonic seconds
    fewest: int = 0
    rest: int = 0
    client: str = ""  # for whom it is
    taken: int = 0  # rows that were given to the device
    overtaken: int = 0  # batches that went first although this job was the oldest
    pieces: dict[int, Tensor] = field(default_factory=dict[int, Tensor])  # start row -> features, filled in the lane
    encode: float = 0.0  # seconds of its forwards
    batch_rows: int = 0  # rows of its largest forward

    @property
    def rows_left(self) -> int:
        """Rows that still wait."""
        return self.rows - self.taken

    @property
    def key(self) -> Hashable:
        """Jobs with equal keys may share a forward."""
        reducer = self.reduction.reducer
        return reducer, self.text.labels.id if reducer.guided and self.text else None

    def cut(self, rows: int) -> None:
        """Limits it to the first `rows` rows: there is no time for the others."""
        self.rows = max(self.taken, rows if rows >= self.fewest else min(rows, self.rest))

    def take(self, rows: int) -> JobSlice:
        """Takes the next `rows` waiting rows for a batch."""
        part = JobSlice(self, self.taken, rows)
        self.taken += rows
        return part

    def settle(self, now: float) -> None:
        """Resolves the future when all rows are there. `now`: monotonic seconds."""
        count = sum(map(len, self.pieces.values()))
        if count >= self.rows and not self.done.done():
            waited = max(0.0, now - self.arrived - self.encode)
            pieces = tuple(self.pieces[start] for start in sorted(self.pieces))
            self.done.set_result(Rows(pieces, count, waited, self.encode, self.batch_rows))

    def settle_partial(self) -> None:
        """Resolves the future at `due` with the rows that are there, without waiting for the device; if none is usable,
        it stays open."""
        pieces, rows = dict(self.pieces), 0  # a copy: the lane may be adding to them
        while rows in pieces:
            rows += len(pieces[rows])
        rows = rows if rows >= self.fewest else min(rows, self.rest)
        if rows and not self.done.done():
            self.pieces, self.rows = {start: piece for start, piece in pieces.items() if start < rows}, rows
            self.settle(time.monotonic())

    def fail(self, error: Exception) -> None:
        """Fails the future, unless it is resolved or cancelled."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class JobSlice:
    """So many rows of a job from `start` on: all of them, unless the job is larger than a batch or urgent."""

    job: Job
    start: int
    rows: int
