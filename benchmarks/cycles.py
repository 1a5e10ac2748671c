"""Ten thousand cameras connect, stream, and end in every way: does anything of them stay in the server?

The service runs in this process, where it can be looked into. Its clients are processes of their own
(cycles_clients.py). Each runs random cycles, many at once: connect, open a stream on a session of its own, a shared one
or one without a name, send some frames, read some answers, then end it, cancel it, close the channel, or cut the
connection. It also makes single calls and gives up on some, and resets, snapshots, restores and closes sessions. Twice
in a round a whole client process is killed (SIGKILL) with all its streams. After each round, once all is at rest, what
the server still holds is counted.

    python benchmarks/cycles.py [--cycles 10000] [--round 500] [--name cycles]

Writes benchmarks/results/NAME.json and .md. Exit status 1 when something was left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop
from cycles_report import save
from machine import load_average, processor
from tqdm import tqdm

from tta_service.app import Application
from tta_service.methods.stream import StreamHandler
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.serving.sessions.memory import MemorySlot
from tta_service.serving.sessions.session import Session
from tta_service.serving.sessions.turns import Turn
from tta_service.settings import load
from tta_service.wire.v1 import tta_pb2 as pb

HERE = Path(__file__).resolve().parent
KINDS = (Session, MemorySlot, Turn, StreamHandler)  # what a stream is made of
KILLS = 2  # client processes of a round that are killed
CALLS = 3
LIVES = 16  # at once in a client process


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What the server holds while it is idle."""

    cycles: int
    objects: int  # of the KINDS that garbage collection finds alive
    sessions: int
    streams: int
    memory_bytes: int  # of sessions
    inside: int  # requests admitted or queued
    buffered: int  # bytes of frames that wait
    stored: int  # sessions in the state store
    tasks: int
    files: int
    rss: float  # MB


def main() -> int:
    args = _arguments()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_cycles(args))
    print(save(report, HERE / "results" / args.name))
    return 0 if not report["behind"] else 1


async def run_cycles(args: argparse.Namespace) -> dict[str, Any]:
    began, endings = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        knobs = {
            "server.port": 0,
            "metrics.enabled": False,
            "http.enabled": False,
            "sessions.store": folder,
            "sessions.write_frames": 3,
        }
        async with Application(load(knobs | {"batch.max_rows": args.max_rows, "server.drain": 1.0})) as service:
            await run_round(service, args.round, seed=0)  # what is made once is made now
            rounds, done = [await count_leftovers(service, Path(folder), 0)], 0
            with tqdm(total=args.cycles, unit="cycle") as bar:
                while done < args.cycles:
                    lived, ended = await run_round(service, args.round, seed=len(rounds) * 10)
                    done += lived
                    endings += ended
                    rounds.append(await count_leftovers(service, Path(folder), done))
                    bar.update(lived)
                    bar.set_postfix(rss=f"{rounds[-1].rss:.0f} MB")
    return {
        "cycles": done,
        "seconds": time.monotonic() - began,
        "endings": endings,
        "behind": left_behind(rounds[0], rounds[-1]),
        "rounds": [asdict(one) for one in rounds],
        "machine": {"cpu": processor(), "cores": os.cpu_count(), "load": load_average()},
    }


async def run_round(service: Application, cycles: int, seed: int) -> tuple[int, Counter[str]]:
    """About so many cycles, a fifth of them in client processes that are killed in the middle; how they ended."""
    lived, ended = 0, Counter[str]()
    for kill in range(KILLS):
        client = await start_client(service.address, cycles // 5, seed + kill)
        assert client.stdout
        begun = 0
        while begun < cycles // 10 and (line := await client.stdout.readline()):
            begun = int(line)
        client.kill()
        await client.wait()
        lived += begun
        ended["with its process, by SIGKILL"] += LIVES
    client = await start_client(service.address, cycles - lived, seed + KILLS)
    output, _ = await client.communicate()
    return cycles, ended + Counter(json.loads(output.splitlines()[-1]))


async def start_client(address: str, cycles: int, seed: int) -> asyncio.subprocess.Process:
    options = json.dumps({"address": address, "cycles": cycles, "seed": seed, "at_once": LIVES})
    command = (sys.executable, str(HERE / "cycles_clients.py"), options)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def count_leftovers(service: Application, store: Path, cycles: int) -> Leftovers:
    """Wait until everything is at rest and close what outlives its streams; then count what there is."""
    parts = service.runtime
    register = parts.sessions.registry

    def at_rest() -> bool:
        return not (register.leases or parts.admission.running_requests or parts.admission.waiting) and all(
            s.evictable for s in register.open_sessions
        )

    async with asyncio.timeout(60):
        while not at_rest():  # noqa: ASYNC110 - a server does not announce that it is idle
            await asyncio.sleep(0.02)
    parts.sessions.close_all("client")
    async with grpc.aio.insecure_channel(service.address) as channel:  # grpc's own loop still refers to the last call
        for _ in range(CALLS):
            await AdaptationServiceStub(channel).ListSessions(pb.ListSessionsRequest())
    for _ in range(40):  # the store, and grpc's own ends, whatever else the machine does
        await asyncio.sleep(0.1)
        if not count_stored(store) and not count_alive():
            break
    process, counters = psutil.Process(), parts.sessions.counters
    return Leftovers(
        cycles=cycles,
        objects=count_alive(),
        sessions=counters.sessions,
        streams=counters.streams,
        memory_bytes=counters.bytes,
        inside=parts.admission.running_requests + parts.admission.waiting,
        buffered=int(service.metrics.registry.get_sample_value("tta_queue_bytes", {"queue": "streams"}) or 0),
        stored=count_stored(store),
        tasks=len(asyncio.all_tasks()),
        files=process.num_fds(),
        rss=process.memory_info().rss / 1e6,
    )


def count_alive() -> int:
    """Objects of the KINDS that garbage collection finds."""
    gc.collect()
    return sum(type(one) in KINDS for one in gc.get_objects())


def count_stored(store: Path) -> int:
    return len(list(store.glob("*.session")))


def left_behind(first: Leftovers, last: Leftovers) -> list[str]:
    """What there is more of than after the first round, or at all where nothing should be."""
    more = [what for what in ("tasks", "files") if getattr(last, what) > getattr(first, what)]
    nothing = ("objects", "sessions", "streams", "memory_bytes", "inside", "buffered", "stored")
    return more + [what for what in nothing if getattr(last, what)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--round", type=int, default=500, help="cycles between two counts of what is left")
    parser.add_argument("--max-rows", type=int, default=16, help="of a forward")
    parser.add_argument("--name", default="cycles")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
