"""Rows that wait for the image tower."""

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
    """Rows that have been through the tower."""

    pieces: tuple[Tensor, ...]  # [*, d] each, in their order; unit norm, finite, float32 on the CPU
    queue: float  # seconds that they waited
    encode: float  # seconds of their forwards
    batch_rows: int  # rows of the largest forward that carried some of them

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def features(self) -> Tensor:
        """[v, d] of them all; for those who may do tensor work."""
        return self.pieces[0] if len(self.pieces) == 1 else torch.cat(self.pieces)


@dataclass(slots=True, eq=False)
class Job:
    """The views of one caller, [v, 3, s, s] uint8.

    What cannot be through the tower by `due` is left out, the last rows first. Fewer than `fewest` are of no use: then
    `rest` of them will do.
    """

    pixels: Tensor
    rows: int
    reduction: Reduction
    text: TextSpace | None  # only looked at by guided reducers
    arrived: float
    done: asyncio.Future[Rows]
    due: float = math.inf  # monotonic seconds
    fewest: int = 0
    rest: int = 0
    taken: int = 0  # rows that have been handed to the device
    overtaken: int = 0  # batches that went before although it was the oldest
    pieces: dict[int, Tensor] = field(default_factory=dict[int, Tensor])  # start row -> features, filled in the lane
    encode: float = 0.0
    batch_rows: int = 0

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
        """Only so many can be had in time."""
        self.rows = max(self.taken, rows if rows >= self.fewest else min(rows, self.rest))

    def take(self, rows: int) -> JobSlice:
        """So many of those that wait go now."""
        piece = JobSlice(self, self.taken, self.taken + rows)
        self.taken = piece.stop
        return piece

    def settle(self, now: float) -> None:
        """Answers when all its rows are there."""
        if sum(map(len, self.pieces.values())) >= self.rows and not self.done.done():
            waited = max(0.0, now - self.arrived - self.encode)
            pieces = tuple(self.pieces[start] for start in sorted(self.pieces))
            self.done.set_result(Rows(pieces, waited, self.encode, self.batch_rows))

    def settle_partial(self) -> None:
        """Its time is up, whatever is on the device: the rows that are there must do, if they are of any use."""
        pieces, rows = dict(self.pieces), 0  # a copy: the lane may be adding to them
        while rows in pieces:
            rows += len(pieces[rows])
        rows = rows if rows >= self.fewest else min(rows, self.rest)
        if rows and not self.done.done():
            self.pieces, self.rows = {start: piece for start, piece in pieces.items() if start < rows}, rows
            self.settle(time.monotonic())

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class JobSlice:
    """Rows `start` to `stop` of a job: all of them, unless it is larger than a batch or runs out of time."""

    job: Job
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start
