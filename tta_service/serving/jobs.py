"""Rows that wait for the image tower, and how batches are packed from them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from ..core.labels import TextSpace
from ..core.reducer import Reduction


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows that have been through the tower."""

    features: Tensor  # [v, d] unit norm, finite, float32 on the CPU
    queue: float  # seconds that they waited
    encode: float  # seconds of their forwards
    batch_rows: int  # rows of the largest forward that carried some of them


@dataclass(slots=True, eq=False)
class Job:
    """The views of one caller, [v, 3, s, s] uint8."""

    pixels: Tensor
    rows: int
    reduction: Reduction
    text: TextSpace | None  # only looked at by guided reducers
    arrived: float
    done: asyncio.Future[Rows]
    pieces: dict[int, Tensor] = field(default_factory=dict[int, Tensor])  # start row -> features, filled in the lane
    encode: float = 0.0
    batch_rows: int = 0

    @property
    def key(self) -> Hashable:
        """Jobs with equal keys may share a forward."""
        reducer = self.reduction.reducer
        return reducer, self.text.labels.id if reducer.guided and self.text else None

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def parts(self, most: int) -> Iterator[Part]:
        for start in range(0, self.rows, most):
            yield Part(self, start, min(self.rows, start + most))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows `start` to `stop` of a job: all of them, unless it is larger than a batch."""

    job: Job
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def pack(waiting: deque[Part], room: int) -> tuple[list[Part], deque[Part]]:
    """The next batch and who waits on: the oldest sets the key, equal keys join while rows are left.

    Parts of callers who have left are forgotten.
    """
    batch: list[Part] = []
    later: deque[Part] = deque()
    for part in waiting:
        if part.job.done.done():
            continue
        if not batch or (len(part) <= room and part.job.key == batch[0].job.key):
            batch.append(part)
            room -= len(part)
        else:
            later.append(part)
    return batch, later
