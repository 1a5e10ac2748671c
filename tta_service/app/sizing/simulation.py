"""A fleet in simulated time: cameras, servers of several cores with one queue each, failures and rolling updates.

A frame takes one core for a fixed time, and the cores of a server take frames in the order of arrival: M/D/c with
Poisson arrivals, and nD/D/c with cameras that keep their rate. A camera stays with the first server of its own order
that is there, as with a consistent hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What serves: so many servers, each with so many cores, of which a frame takes one for `work` seconds."""

    servers: int
    cores: int
    work: float


@dataclass(frozen=True, slots=True)
class Absence:
    """A server takes no frames for a while. One that `drains` answers what it has; else that is lost."""

    server: int
    start: float  # seconds
    end: float
    drains: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Of all frames: their ages when they are answered, seconds, and which are lost; an age is infinite then."""

    ages: Floats  # in the order of the cameras, and within one of time
    busy: Floats  # of each server: the share of its cores that worked, of the time that was simulated

    @property
    def lost(self) -> int:
        """Frames without an answer: their server failed, or none was there."""
        return int(np.isinf(self.ages).sum())

    def age(self, share: float) -> float:
        """Seconds within which that share of the frames is answered."""
        return float(np.quantile(self.ages, share, method="higher")) if len(self.ages) else 0.0


def simulate(
    cameras: int,
    fps: float,
    fleet: Fleet,
    seconds: float,
    absences: Sequence[Absence] = (),
    arrivals: Literal["periodic", "poisson"] = "periodic",
    seed: int = 0,
) -> Outcome:
    """Cameras for so many seconds; their last frames are answered afterwards. More cameras only add frames."""
    draw = np.random.default_rng(seed)
    order = np.random.default_rng(seed + 1).random((cameras, fleet.servers))  # the least value is the first choice
    count = int(np.ceil(seconds * fps))
    if arrivals == "periodic":
        times = (draw.random((cameras, 1)) + np.arange(count)) / fps
    else:
        count += int(6 * np.sqrt(count) + 16)  # as good as never too few
        times = draw.exponential(1 / fps, (cameras, count)).cumsum(axis=1)
    camera, frame = np.nonzero(times < seconds)
    arrived = times[camera, frame]
    server = _route(order, camera, arrived, absences)
    ages, busy = np.full(len(arrived), np.inf), np.zeros(fleet.servers)
    for one in range(fleet.servers):
        mine = np.flatnonzero(server == one)
        mine = mine[np.argsort(arrived[mine], kind="stable")]
        failures = sorted((gone.start, gone.end) for gone in absences if gone.server == one and not gone.drains)
        ages[mine] = _serve(arrived[mine], fleet, failures) - arrived[mine]
        busy[one] = np.isfinite(ages[mine]).sum() * fleet.work / fleet.cores / seconds
    return Outcome(ages, busy)


def _route(order: Floats, camera: NDArray[np.intp], arrived: Floats, absences: Sequence[Absence]) -> NDArray[np.intp]:
    """The server of each frame; -1 where none is there."""
    server = np.empty(len(arrived), dtype=np.intp)
    turns = sorted({0.0, *(moment for gone in absences for moment in (gone.start, gone.end))})
    for start, end in zip(turns, [*turns[1:], np.inf], strict=True):
        there = order.copy()
        for gone in absences:
            if gone.start <= start < gone.end:
                there[:, gone.server] = np.inf
        choice = np.where(np.isinf(there).all(axis=1), -1, there.argmin(axis=1))
        now = (arrived >= start) & (arrived < end)
        server[now] = choice[camera[now]]
    return server


def _serve(arrived: Floats, fleet: Fleet, failures: Sequence[tuple[float, float]]) -> Floats:
    """When each frame of one server is done, in the order of arrival: Kiefer and Wolfowitz's recursion, 1955.

    Infinity for those that a failure finds there.
    """
    free, done, coming = [0.0] * fleet.cores, np.empty(len(arrived)), list(failures)
    for place, moment in enumerate(arrived):
        while coming and moment >= coming[0][1]:
            free = [coming.pop(0)[1]] * fleet.cores
        done[place] = max(moment, free[0]) + fleet.work
        heapreplace(free, done[place])
    for start, _ in failures:
        done[(arrived < start) & (done > start)] = np.inf
    return done
