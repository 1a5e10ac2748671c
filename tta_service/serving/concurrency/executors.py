"""Four executors, so that no torch call ever runs on the event loop and none takes another's cores.

`torch.set_num_threads` speaks for the calling thread (OpenMP and MKL alike, torch 2.15), and for every thread that has
not done any torch work yet, the main one included. So each thread of a lane says its own number once, in its
initializer: it keeps it, whatever others say later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import torch
from joblib import cpu_count  # pyright: ignore[reportMissingTypeStubs]

from ...core.errors import NotReady

Given = TypeVarTuple("Given")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Executors:
    """Where work with tensors happens."""

    prepare: Executor  # decode, cut views
    device: Executor  # one thread: batches through the towers
    adapt: Executor  # small maths
    tune: Executor  # one thread: gradients

    def close(self) -> None:
        """Drops what has not begun, waits for what has."""
        for lane in (self.prepare, self.device, self.adapt, self.tune):
            lane.shutdown(wait=True, cancel_futures=True)


def make_executors(prepare: int = 0, adapt: int = 2, cores: int = 0) -> Executors:
    """Lanes for `cores` (0: those that affinity and the container's quota leave us), `prepare` (0: one per core) and
    `adapt` threads."""
    cores = cores or int(cpu_count())
    return Executors(
        prepare=_make_executor("prepare", prepare or cores, 1),
        device=_make_executor("device", 1, cores),
        adapt=_make_executor("adapt", adapt, 1),
        tune=_make_executor("tune", 1, max(1, cores // 2)),
    )


def _make_executor(name: str, threads: int, cores: int) -> Executor:
    return ThreadPoolExecutor(threads, f"tta-{name}", initializer=torch.set_num_threads, initargs=(cores,))


def run(lane: Executor, work: Callable[[*Given], T], *args: *Given) -> asyncio.Future[T]:
    """`work` in that lane. Cancelling the future takes it back unless it has begun. `NotReady` once it is closed."""
    try:
        return asyncio.get_running_loop().run_in_executor(lane, work, *args)
    except RuntimeError:
        raise NotReady("the server is stopping") from None
