"""From rates to servers, memory, network and Redis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import BadRequest
from ...settings import Sessions
from .rates import Rates
from .simulation import Absence, Fleet, Outcome, simulate

BUSY = 0.8  # the share of its cores that a server may use in the mean
MOST = 200_000  # frames of one simulation
LONGEST = 60.0  # seconds of one
PROMPT = 0.95  # the share of the answers that has to be in time
TRIES = 64  # fleets that are simulated


@dataclass(frozen=True, slots=True)
class Demand:
    """So many cameras, whose answers are to come within `age` seconds; `spare` servers may be away."""

    cameras: int
    fps: float
    age: float
    spare: int
    cores: int  # of a server


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds within which half and 95 % of the frames are answered, and the share that is lost."""

    half: float
    most: float
    lost: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What the cameras need. Bytes and numbers a second are of all servers together, memory is of one."""

    servers: int
    cores: int
    busy: float  # share of all cores, in the mean
    memory_bytes: int
    received: float  # bytes a second
    sent: float
    store_writes: float  # a second
    store_received: float  # bytes a second
    store_bytes: int
    ages: Mapping[str, Ages]  # "usually", "while a server fails" and "during a rolling update"


def make_plan(demand: Demand, rates: Rates, sessions: Sessions) -> Plan:
    """The fewest servers that answer in time, and the spare ones. Raises `BadRequest` where no number of them does."""
    load, needed = demand.cameras * demand.fps, count_servers(demand, rates)
    servers = needed + demand.spare
    fleet, seconds = Fleet(servers, demand.cores, rates.work), _horizon(demand)
    failure = [Absence(0, seconds / 3, 2 * seconds / 3)]
    update = [
        Absence(one, one * seconds / servers, (one + 1) * seconds / servers, drains=True) for one in range(servers)
    ]
    cases = {"usually": [], "while a server fails": failure, "during a rolling update": update}
    run = {name: simulate(demand.cameras, demand.fps, fleet, seconds, gone) for name, gone in cases.items()}
    writes = demand.cameras / min(sessions.write_seconds, sessions.write_frames / demand.fps)
    here = math.ceil(demand.cameras / max(1, servers - demand.spare))
    return Plan(
        servers,
        demand.cores,
        load * rates.work / (servers * demand.cores),
        rates.resident_bytes + here * rates.memory_bytes,
        load * rates.request_bytes,
        load * rates.answer_bytes,
        writes,
        writes * rates.state_bytes,
        demand.cameras * rates.state_bytes,
        {name: _ages(outcome) for name, outcome in run.items()},
    )


def count_servers(demand: Demand, rates: Rates) -> int:
    """The fewest whose cores are busy for at most `BUSY` of the time and whose answers are in time in a simulation.

    Raises `BadRequest` where no number of them is enough.
    """
    if rates.work > demand.age:
        raise BadRequest(f"--age: one frame alone takes a core {rates.work:.3g} s, longer than {demand.age:g} s", "age")
    least = math.ceil(demand.cameras * demand.fps * rates.work / (demand.cores * BUSY))
    for servers in range(max(1, least), max(1, least) + TRIES):
        fleet = Fleet(servers, demand.cores, rates.work)
        if simulate(demand.cameras, demand.fps, fleet, _horizon(demand)).age(PROMPT) <= demand.age:
            return servers
    raise BadRequest(f"--age: {least + TRIES} servers do not answer within {demand.age:g} s: allow for more", "age")


def _horizon(demand: Demand) -> float:
    """Seconds of a simulation: some frames of each camera, and no more than can be simulated soon."""
    return max(min(LONGEST, MOST / (demand.cameras * demand.fps)), 3 / demand.fps)


def _ages(outcome: Outcome) -> Ages:
    return Ages(outcome.age(0.5), outcome.age(PROMPT), outcome.lost / max(1, len(outcome.ages)))
