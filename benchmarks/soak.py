"""Hours of everything at once: does the server still answer rightly, and does it hold more than at first?

A server in a process of its own, with sessions in Redis (a folder where there is none), is used by processes of
clients whose streams end in every way, some of them by SIGKILL (cycles_clients.py); by one stream that never ends; by
callers with too little time; by callers whose label sets nobody asks for again; and by a neighbour whose answers must
be those that it had alone. The store is stopped, paused and started again now and then.

    python benchmarks/soak.py --hours 1 [--rate 1.0] [--folder]

Writes benchmarks/results/soak.json and .md. Exit status 1 when an answer was wrong, or more is held than at first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # processes begin while it works, and have nothing of it

import grpc
import psutil
import uvloop
from cycles_clients import picture
from fuzz_neighbour import neighbour_of
from load_servers import Server, start_server
from machine import load_average, processor
from tta_client import AsyncClient, FrameAnswer, Reconnect

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "soak.json"
LOOK, CLIENT, OUTAGE = 10.0, 20.0, 60.0  # seconds between looks, of a process of clients, between faults of the store
KNOBS = {
    "sessions.most": 200,
    "sessions.idle": 30.0,
    "sessions.taught_idle": 30.0,
    "sessions.store_keep": 60.0,
    "sessions.secret": "a secret for hours of use",
    "text.cache_bytes": 16 << 20,
    "text.definitions": 200,
    "limits.parameters": {"views": 16},
}
HARMFUL = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@dataclass
class Record:
    """What happened, and what the server held over time."""

    looks: list[dict[str, float]] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)  # calls by status
    faults: Counter[str] = field(default_factory=Counter)  # of the store and of clients, on purpose
    wrong: list[str] = field(default_factory=list)
    frames: int = 0  # of the stream without end

    def count(self, error: grpc.aio.AioRpcError) -> None:
        self.ended[error.code().name] += 1
        if error.code() in HARMFUL:
            self.wrong.append(f"{error.code().name}: {error.details()}")


class Redis:
    """A server of our own that can be stopped, paused and started again at the same port; it keeps nothing on disk."""

    def __init__(self, port: int) -> None:
        self.url, self._port = f"redis://127.0.0.1:{port}/0", port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program
        quiet = ["--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--appendonly", "no", "--dir", "/"]
        nowhere, plain = asyncio.subprocess.DEVNULL, os.environ | {"LC_ALL": "C"}
        self._process = await asyncio.create_subprocess_exec(program, *quiet, stdout=nowhere, env=plain)
        await asyncio.sleep(1.0)

    async def kill(self) -> None:
        assert self._process
        self._process.kill()
        await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


async def break_store(redis: Redis, record: Record, chance: random.Random) -> None:
    """Now and then the store is gone, or silent, for some seconds."""
    while True:
        await asyncio.sleep(OUTAGE * chance.uniform(0.5, 1.5))
        seconds = chance.uniform(1, 8)
        if chance.random() < 0.5:
            record.faults["store killed and started again"] += 1
            await redis.kill()
            await asyncio.sleep(seconds)
            await redis.start()
        else:
            record.faults["store paused"] += 1
            redis.send(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            redis.send(signal.SIGCONT)


async def crash_clients(server: Server, record: Record, rate: float, chance: random.Random) -> None:
    """Processes with some random streams at a time, of which every second one is killed in the middle."""
    for number in itertools.count():
        many = {"cycles": int(400 * rate), "at_once": max(1, int(8 * rate))}
        options = json.dumps({"address": server.address, "seed": number} | many)
        command = sys.executable, str(HERE / "cycles_clients.py"), options
        client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            if number % 2:
                await asyncio.sleep(chance.uniform(3, CLIENT))
                record.faults["client killed"] += client.returncode is None
            else:
                count_endings(await client.communicate(), record)
        finally:
            with contextlib.suppress(ProcessLookupError):
                client.kill()
            await client.wait()
        await asyncio.sleep(2.0)


def count_endings(output: tuple[bytes, bytes], record: Record) -> None:
    if not output[0]:
        record.wrong.append("a process of clients ended before it began")
        return
    for how, count in json.loads(output[0].splitlines()[-1]).items():
        record.ended[f"client: {how}"] += count
        if any(code.name in how for code in HARMFUL):
            record.wrong.append(f"a client: {how}")


async def stream_without_end(server: Server, record: Record) -> None:
    """One camera: every frame is answered once, in order, and alike pictures have alike zero-shot scores."""
    images = [picture(), picture()[:-2] + b"\xff\xd9"]
    first: dict[int, float] = {}

    async def frames() -> Any:
        for number in itertools.count():
            yield images[number % len(images)]
            await asyncio.sleep(0.2)

    async with AsyncClient(server.address) as client:
        last = -1
        async for result in client.stream(
            frames(), ["cat", "dog", "car"], "tda", session="endless", reconnect=Reconnect(0.1, 1.0)
        ):
            if not isinstance(result, FrameAnswer):
                record.wrong.append(f"endless: {result}")
                continue
            record.frames += 1
            if result.frame_id <= last:
                record.wrong.append(f"endless: frame {result.frame_id} after {last}")
            last = result.frame_id
            score = max(one.score for one in result.answer.zero_shot)
            if abs(first.setdefault(result.frame_id % len(images), score) - score) > 1e-4:
                record.wrong.append(f"endless: zero-shot {score} in place of {first[result.frame_id % len(images)]}")


async def call(record: Record, asked: Awaitable[Any]) -> Any:
    try:
        reply = await asked
        record.ended["OK"] += 1
        return reply
    except grpc.aio.AioRpcError as error:
        record.count(error)
        return None


async def churn_labels(stub: AdaptationServiceStub, record: Record, rate: float, chance: random.Random) -> None:
    """Label sets that are used once."""
    while True:
        names = ["".join(chance.choices(string.ascii_lowercase, k=9)) for _ in range(chance.choice((2, 20, 200)))]
        put = await call(
            record, stub.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=names)), timeout=30)
        )
        if put is not None:
            ask = pb.ClassifyRequest(image=pb.Image(encoded=picture()), labels=pb.Labels(id=put.info.id))
            ask.options.strategy.name = chance.choice(("zero_shot", "tda", "zero", "self_tpt"))
            await call(record, stub.Classify(ask, timeout=30))
            if chance.random() < 0.5:
                await call(record, stub.DeleteLabelSet(pb.DeleteLabelSetRequest(id=put.info.id), timeout=30))
        await asyncio.sleep(0.5 / rate)


async def too_little_time(stub: AdaptationServiceStub, record: Record, rate: float, chance: random.Random) -> None:
    """Calls whose time is over before, or hardly after, they are answered."""
    while True:
        ask = pb.ClassifyRequest(image=pb.Image(encoded=picture()), session_id=f"late-{chance.randrange(30)}")
        ask.labels.label_set.names.extend(["cat", "dog", "car"])
        ask.options.strategy.name = chance.choice(("tda", "dota", "zero", "taught"))
        await call(record, stub.Classify(ask, timeout=chance.choice((0.001, 0.005, 0.02, 0.1))))
        await asyncio.sleep(0.2 / rate)


async def look(server: Server, record: Record) -> None:
    process, began = psutil.Process(server.pid), time.monotonic()
    while True:
        at = time.monotonic() - began
        held = {"rss": process.memory_info().rss / 1e6, "threads": process.num_threads(), "files": process.num_fds()}
        record.looks.append({"at": round(at, 1), **held, "load": load_average()})
        await asyncio.sleep(LOOK)


async def soak(hours: float, rate: float, folder: bool) -> dict[str, Any]:
    record, chance = Record(), random.Random(18)
    async with contextlib.AsyncExitStack() as stack:
        redis = (
            None
            if folder or not (shutil.which("redis-server") or shutil.which("valkey-server"))
            else Redis(free_port())
        )
        if redis:
            await redis.start()
            stack.push_async_callback(redis.kill)
        where = redis.url if redis else stack.enter_context(tempfile.TemporaryDirectory())
        knobs = json.dumps(KNOBS | {"sessions.store": where})
        server = stack.enter_context(start_server([str(HERE / "fuzz_server.py"), knobs]))
        neighbour = await stack.enter_async_context(neighbour_of(server.address, 0.2 / rate))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        stub = AdaptationServiceStub(channel)
        works: list[Callable[[], Awaitable[None]]] = [
            lambda: look(server, record),
            lambda: crash_clients(server, record, rate, chance),
            lambda: stream_without_end(server, record),
            lambda: churn_labels(stub, record, rate, chance),
            lambda: too_little_time(stub, record, rate, chance),
        ]
        works += [lambda: break_store(redis, record, chance)] if redis else []
        tasks = [asyncio.ensure_future(work()) for work in works]
        ended, _ = await asyncio.wait(tasks, timeout=3600 * hours, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            record.wrong.append(f"a part of the soak ended: {task.exception()!r}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        record.wrong += neighbour.wrong
    report = vars(record) | {"hours": hours, "rate": rate, "store": "redis" if redis else "folder"}
    report |= {"neighbour_calls": neighbour.calls, "cpu": processor(), "cores": os.cpu_count()}
    return report | {"grown": grown(record.looks)}


def grown(looks: list[dict[str, float]]) -> dict[str, list[float]]:
    """What the last quarter holds more of than the second one: medians."""
    quarter = len(looks) // 4
    early, late = looks[quarter : 2 * quarter], looks[-quarter:]
    names = [what for what in early[0] if what not in ("at", "load")] if quarter else []
    found = {what: [statistics.median(one[what] for one in some) for some in (early, late)] for what in names}
    return {
        what: pair
        for what, pair in found.items()
        if pair[1] > (1.05 * pair[0] if what.endswith("rss") else pair[0] + 3)
    }


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


HEAD = """# {hours:g} hours of everything at once

`python benchmarks/soak.py --hours {hours:g} --rate {rate:g}`, {cores} cores ({cpu}), store: {store}. Wrong answers:
{wrong}; {verdict}. The neighbour had {neighbour_calls} answers, the stream without end {frames}.

| minutes | RSS, MB | threads | files | load average |
|---|---|---|---|---|
"""


def table(report: dict[str, Any]) -> str:
    looks, grew = report["looks"], report["grown"]
    verdict = f"grew: {grew}" if grew else "nothing grew"
    lines = [HEAD.format(**report | {"wrong": report["wrong_count"], "verdict": verdict})]
    lines += [
        f"| {one['at'] / 60:.1f} | {one['rss']:.0f} | {one['threads']:.0f} | {one['files']:.0f} | {one['load']} |\n"
        for one in looks[:: max(1, len(looks) // 24)]
    ]
    lines.append("\n| what | count |\n|---|---|\n")
    lines += [f"| {what} | {count} |\n" for what, count in sorted((report["faults"] | report["ended"]).items())]
    return "".join(lines)


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--hours", type=float, default=1.0)
    ask.add_argument("--rate", type=float, default=1.0, help="how much of everything")
    ask.add_argument("--folder", action="store_true", help="sessions in a folder, even where there is Redis")
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(soak(args.hours, args.rate, args.folder))
    report["wrong"], report["wrong_count"] = report["wrong"][:50], len(report["wrong"])
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(table(report))
    print(table(report), *report["wrong"], sep="\n")
    return 1 if report["wrong"] or report["grown"] else 0


if __name__ == "__main__":
    sys.exit(main())
