"""The batch queue: jobs that wait for the image tower, which of them share the next batch, and when the tower is free.

Clients have fair shares of the tower's time. Which of a client's jobs go first: `choice.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from heapq import heapify, heappop, heapreplace

from ...core.reducer import Reducer
from ..costs.estimators import Estimate
from ..costs.model import CostModel
from ..fair_shares import FairShares
from .choice import Batch, Seconds, choose_leader, find_urgent, small_part, trim
from .jobs import Job, JobSlice

NOTHING_EXPECTED = nullcontext()
MOST_OWED, MANY = 1.0, 1024  # seconds of other work that a client pays for at most; clients


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """Waiting jobs and rows for the metrics."""

    jobs: int
    rows: int


@dataclass(frozen=True, slots=True)
class RunningForward:
    """The forward on the device."""

    reducer: Reducer
    rows: int
    began: float  # monotonic seconds


class BatchQueue:
    """Forms batches of at most `max_rows` rows from the waiting jobs. `weights` of clients: `FairShares`.

    Used on the event loop only.
    """

    def __init__(self, max_rows: int, costs: CostModel, weights: Mapping[str, float] | None = None) -> None:
        self.max_rows, self.costs = max_rows, costs
        self.waiting: list[Job] = []  # oldest first
        self.running: RunningForward | None = None
        self._shares, self._owed = FairShares(weights), dict[str, float]()  # seconds by client
        self._expected: list[float] = []  # of each expected job: monotonic seconds by which the tower must be free

    @property
    def counters(self) -> QueueCounters:
        """What waits; cancelled jobs count until the next batch forms. May be read from any thread."""
        waiting = self.waiting.copy()
        return QueueCounters(len(waiting), sum(job.rows_left for job in waiting))

    def next_batch(self, now: float) -> list[JobSlice]:
        """Takes the next batch. Jobs whose time is up are settled with the rows they have, cancelled ones dropped."""
        jobs = [job for job in self.waiting if not job.done.done()]
        if len(jobs) == 1 and not self._expected and math.isinf(jobs[0].due):
            batch = [jobs[0].take(min(jobs[0].rows_left, self.max_rows))]
            self._shares.serve(jobs[0].client, batch[0].rows)
        else:
            batch = self._choose(jobs, now)
        self.waiting = [job for job in jobs if job.rows_left]
        return batch

    def _choose(self, jobs: Sequence[Job], now: float) -> list[JobSlice]:
        """The next batch. Rows that cannot be done in time are left out: then their job has none left."""
        if not self._expected and all(math.isinf(job.due) for job in jobs):
            return self._form(jobs, now, self._safe_seconds, math.inf).slices if jobs else []
        seconds = cache(self._safe_seconds)  # the same questions are asked for many jobs
        free_by = self._free_by(now + seconds(self.costs.no_reduction, 1))
        for job in jobs:
            trim(job, now, seconds)
        ready, batch = [job for job in jobs if job.rows_left], list[JobSlice]()
        if ready:
            formed = self._form(ready, now, seconds, free_by)
            batch = formed.slices
            formed.cut_late(ready)
        for job in jobs:
            if not job.rows_left:
                job.settle(now)
        return batch

    def _free_by(self, soonest: float) -> float:
        return min((by for by in self._expected if by >= soonest), default=math.inf)

    def _form(self, jobs: Sequence[Job], now: float, seconds: Seconds, free_by: float) -> Batch:
        """The batch of the client whose turn it is, and what shares the key of its leader, of all clients in slices.

        A job is urgent if it would lose rows by waiting for one more batch. If possible the batch ends by `free_by`,
        when a job is expected.
        """
        clients = dict.fromkeys(job.client for job in jobs)
        first = self._first(clients)
        own = jobs if len(clients) == 1 else [job for job in jobs if job.client == first]
        urgent = find_urgent(jobs, own[0].reduction.reducer, self.max_rows, now, seconds)
        leader = choose_leader(own, urgent, self.max_rows)
        batch = Batch(leader.reduction.reducer, self.max_rows, now, seconds, free_by)
        alike = [job for job in jobs if job.key == leader.key]
        if len(clients) == 1:
            batch.fill(alike, leader, urgent, self.max_rows, split=False)
            self._shares.serve(first, batch.used)
            return batch
        for client, rows in self._share_rows(alike, leader).items():
            theirs = [job for job in alike if job.client == client]
            batch.fill(theirs, leader if client == first else None, urgent, rows, split=True)
        self._charge(batch, first)
        return batch

    def _first(self, clients: Collection[str]) -> str:
        """The client whose turn it is. Where there are several, they pay what they owe before."""
        if len(clients) > 1 and self._owed:
            full = self.costs.estimate_forward(self.costs.no_reduction, self.max_rows).likely
            for client, seconds in self._owed.items() if full else ():
                self._shares.charge(client, seconds / full * self.max_rows)
            self._owed.clear()
        return self._shares.first(clients)

    def _share_rows(self, jobs: Sequence[Job], leader: Job) -> dict[str, int]:
        """Rows of the next batch by client, the leader's first: the clients are served slice by slice."""
        wanted, first = Counter[str](), leader.client
        price = self._price(leader.reduction.reducer, self.max_rows) / self.max_rows
        for job in jobs:
            wanted[job.client] += job.rows_left
        starts = [(self._shares.start(client), place, client) for place, client in enumerate(wanted) if client != first]
        starts.append((self._shares.start(first), -1, first))
        heapify(starts)
        rows, room, most = Counter[str](), self.max_rows, small_part(self.max_rows)
        while room and starts:
            start, place, client = starts[0]
            some = min(most, room, wanted[client] - rows[client])
            rows[client] += some
            room -= some
            if rows[client] < wanted[client]:
                heapreplace(starts, (start + self._shares.span(client, some * price), place, client))
            else:
                heappop(starts)
        return rows

    def _charge(self, batch: Batch, first: str) -> None:
        """Clients pay for their rows as in a full batch; the one whose batch it is pays for what is not used."""
        rows, price = Counter[str](), self._price(batch.reducer, self.max_rows) / self.max_rows
        for part in batch.slices:
            rows[part.job.client] += part.rows
        own = rows.pop(first, 0)
        unused = self._price(batch.reducer, batch.used) - batch.used * price
        self._shares.serve(first, own * price + max(0.0, unused))
        for client, count in rows.items():
            self._shares.charge(client, count * price)

    def _price(self, reducer: Reducer, rows: int) -> float:
        """The expected seconds of a forward, in rows of a full batch without reduction: what a client pays alone."""
        costs = self.costs
        full = costs.estimate_forward(costs.no_reduction, self.max_rows).likely
        return costs.estimate_forward(reducer, rows).likely / full * self.max_rows if full else float(rows)

    def charge_seconds(self, client: str, seconds: float) -> None:
        """The client pays for other work of the device, once others wait too, as for a forward of so many seconds."""
        if len(self._owed) > MANY:
            self._owed.clear()
        self._owed[client] = min(self._owed.get(client, 0.0) + seconds, MOST_OWED)

    def expect(self, reducer: Reducer, due: float) -> AbstractContextManager[None]:
        """Announces a job whose first row is due then (monotonic seconds): if possible, the batch before leaves time
        for it."""
        return NOTHING_EXPECTED if math.isinf(due) else self._expect(due - self.costs.estimate_forward(reducer, 1).safe)

    @contextmanager
    def _expect(self, by: float) -> Generator[None]:
        self._expected.append(by)
        try:
            yield
        finally:
            self._expected.remove(by)

    def time_until_free(self, now: float) -> Estimate:
        """Seconds that the batch on the device will still take."""
        running = self.running
        if running is None:
            return Estimate()
        duration = self.costs.estimate_forward(running.reducer, running.rows)
        return Estimate(max(0.0, running.began + duration.likely - now), duration.spread)

    def queued_time(self) -> Estimate:
        """Seconds that the waiting jobs will take."""
        jobs = [job for job in self.waiting if not job.done.done()]
        return sum((self.costs.estimate_encode(job.reduction.reducer, job.rows_left) for job in jobs), Estimate())

    def _safe_seconds(self, reducer: Reducer, rows: int) -> float:
        return self.costs.estimate_encode(reducer, rows).safe
