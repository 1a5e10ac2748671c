from __future__ import annotations

import asyncio
from collections import deque

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.house import EXACT
from tests.serving.toys import Halved
from tta_service.core.reducer import Reduction
from tta_service.serving.jobs import Job, Part, pack

HALVED = Reduction(Halved())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=12), st.integers(1, 8))
def test_batches_are_full_of_equals_and_nobody_starves(given_jobs: list[tuple[int, bool, bool]], room: int):
    loop = asyncio.new_event_loop()
    jobs: list[Job] = []
    for rows, reduced, left in given_jobs:
        jobs.append(Job(torch.empty(0), rows, HALVED if reduced else EXACT, None, 0.0, loop.create_future()))
        if left:
            jobs[-1].done.cancel()
    waiting = deque(part for job in jobs for part in job.parts(room))
    served: list[Part] = []
    while True:
        here = [part for part in waiting if not part.job.done.done()]
        batch, waiting = pack(waiting, room)
        if not batch:
            break
        assert batch[0] is here[0]  # the oldest
        assert sum(map(len, batch)) <= room and len({part.job.key for part in batch}) == 1
        left_out = [part for part in here if part not in batch and part.job.key == batch[0].job.key]
        assert all(len(part) > room - sum(map(len, batch)) for part in left_out)
        served += batch
    for job in jobs:
        mine = sorted((part.start, part.stop) for part in served if part.job is job)
        assert [row for start, stop in mine for row in range(start, stop)] == list(
            range(0 if job.done.cancelled() else job.rows)
        )
    loop.close()
