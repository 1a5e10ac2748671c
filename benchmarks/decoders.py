"""What it costs to decode pictures in processes of their own (`images.decoders`): latency and memory at 16 cameras.

Two services over a small random CLIP run side by side, one of them with such processes. Each camera sends a JPEG of
640 × 480 some times a second, whether or not the one before is answered. The cameras turn from one service to the
other and back, so that what else the machine does meets both.

    python benchmarks/decoders.py [--cameras 16] [--fps 5] [--rounds 5] [--decoders 2]

Writes benchmarks/results/decoders.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop
from hostile_pictures import photograph
from load_servers import Server, start_server
from machine import load_average, processor

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "decoders.json"
SECONDS = 2.0  # of one round at one service
HEAD = """# Decoding in processes of their own

`python benchmarks/decoders.py`: {cameras} cameras of 640 × 480 at {fps:g} frames a second, {rounds} rounds of
{seconds:g} s at each service by turns, on {cores} cores ({cpu}), load average {load_average}. p95 of each round, and
their median. Memory is the sum of what is resident in the processes of a service; what they share counts in each.

| `images.decoders` | frames | p50, ms | p95, ms | p95 of the rounds, ms | RSS, MB |
|---|---|---|---|---|---|
"""


async def camera(stub: AdaptationServiceStub, ask: pb.ClassifyRequest, start: float, every: float) -> list[float]:
    """Seconds from when each frame was due to its answer."""

    async def frame(due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await stub.Classify(ask, timeout=30)
        return time.monotonic() - due

    return await asyncio.gather(*(frame(start + number * every) for number in range(int(SECONDS / every))))


async def round_of(server: Server, cameras: int, fps: float) -> list[float]:
    """One round of all cameras, each on a connection of its own."""
    image = pb.Image(encoded=photograph(640, 480))
    channels = [
        grpc.aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(cameras)
    ]
    asks = list[Any]()
    for number, channel in enumerate(channels):
        ask = pb.ClassifyRequest(image=image, session_id=f"camera-{number}")
        ask.labels.label_set.names.extend(["cat", "dog", "car"])
        await AdaptationServiceStub(channel).Classify(ask, timeout=30)
        asks.append((AdaptationServiceStub(channel), ask))
    begin, every = time.monotonic() + 0.1, 1 / fps
    taken = await asyncio.gather(
        *(camera(*one, begin + number * every / cameras, every) for number, one in enumerate(asks))
    )
    for channel in channels:
        await channel.close()
    return [seconds for each in taken for seconds in each]


def p95(seconds: list[float]) -> float:
    """Milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=20)[-1]


def rss(pid: int) -> float:
    """MB of the process and its children that decode."""
    process = psutil.Process(pid)
    decoders = [one for one in process.children() if "decoder_process" in " ".join(one.cmdline())]
    return sum(one.memory_info().rss for one in (process, *decoders)) / 1e6


async def measure(servers: dict[int, Server], cameras: int, fps: float, rounds: int) -> list[dict[str, Any]]:
    taken = {decoders: list[list[float]]() for decoders in servers}
    for number in range(rounds + 1):
        for decoders, server in servers.items():
            found = await round_of(server, cameras, fps)
            if number:  # the first round warms up
                taken[decoders].append(found)
    rows = list[dict[str, Any]]()
    for decoders, each in taken.items():
        by_round = [round(p95(one), 2) for one in each]
        every = [seconds for one in each for seconds in one]
        row = {"decoders": decoders, "frames": len(every), "p50": round(1000 * statistics.median(every), 2)}
        rows.append(row | {"p95": statistics.median(by_round), "by_round": by_round, "rss": rss(servers[decoders].pid)})
    return rows


def table(report: dict[str, Any]) -> str:
    lines = [HEAD.format(**report)]
    for row in report["rows"]:
        rounds = ", ".join(f"{one:.1f}" for one in row["by_round"])
        lines.append(
            f"| {row['decoders']} | {row['frames']} | {row['p50']:.2f} | {row['p95']:.2f} | {rounds} "
            f"| {row['rss']:.0f} |\n"
        )
    return "".join(lines)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cameras", type=int, default=16)
    ask.add_argument("--fps", type=float, default=5.0)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--decoders", type=int, default=2)
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    program = str(HERE / "fuzz_server.py")
    with (
        start_server([program]) as inside,
        start_server([program, json.dumps({"images.decoders": args.decoders})]) as outside,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        servers = {0: inside, args.decoders: outside}
        rows = runner.run(measure(servers, args.cameras, args.fps, args.rounds))
    report = {"cpu": processor(), "cores": os.cpu_count(), "load_average": load_average(), "seconds": SECONDS}
    report |= {"cameras": args.cameras, "fps": args.fps, "rounds": args.rounds, "rows": rows}
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(table(report))
    print(table(report))


if __name__ == "__main__":
    main()
