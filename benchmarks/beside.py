"""What a loop of 64 views costs a one-row call of the same owner, and what the calls cost the loop.

A server with the pocket model; by turns the calls alone, the loop alone, and both. The calls come twice a second, the
loop has so many in flight at a time as it is given. Waiting is told in forwards of the image tower, of the length that
the server measures meanwhile: the goal is two more than alone at the 95th percentile, and 0.95 of the loop's views a
second (views of the calls count).

    python benchmarks/beside.py [--seconds 6] [--rounds 3] [--at-once 4]

Writes benchmarks/results/beside.json, after each round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import urllib.request
from pathlib import Path
from typing import Any

import grpc
from hostile_pictures import NAMES, picture
from load_servers import SERVING, start_server
from machine import load_average, processor
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

OUT = Path(__file__).resolve().parent / "results" / "beside.json"
VIEWS, EVERY = 64, 0.5
Forwards = tuple[float, float]  # how many, and their seconds


def request(strategy: str, **parameters: Any) -> pb.ClassifyRequest:
    message = pb.ClassifyRequest(image=pb.Image(encoded=picture()))
    message.labels.label_set.names.extend(NAMES)
    message.options.strategy.name = strategy
    message.options.strategy.parameters.update(parameters)
    return message


def forwards(metrics: str) -> Forwards:
    text = urllib.request.urlopen(metrics).read().decode()

    def total(name: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    return total("tta_forward_duration_seconds_count"), total("tta_forward_duration_seconds_sum")


async def measure(address: str, metrics: str, seconds: float, calls: bool, at_once: int) -> dict[str, Any]:
    """One phase: milliseconds of each call, views a second of the loop, milliseconds of a forward."""
    began, waited, done = time.monotonic(), list[float](), 0
    before = await asyncio.to_thread(forwards, metrics)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = AdaptationServiceStub(channel)

        async def loop() -> None:
            nonlocal done
            while time.monotonic() < began + seconds:
                await stub.Classify(request("zero", views=VIEWS))
                done += VIEWS

        async def call() -> None:
            nonlocal done
            at = time.monotonic()
            await stub.Classify(request("zero_shot"))
            waited.append(1000 * (time.monotonic() - at))
            done += 1

        async def call_on_time() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(int(seconds / EVERY)):
                    await asyncio.sleep(max(0.0, began + number * EVERY - time.monotonic()))
                    group.create_task(call())

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(loop())
            if calls:
                group.create_task(call_on_time())
    took = time.monotonic() - began
    after = await asyncio.to_thread(forwards, metrics)
    count = after[0] - before[0]
    return {"waited": waited, "views": done / took, "forward": 1000 * (after[1] - before[1]) / count if count else 0.0}


def report(phases: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    def p95(name: str) -> float:
        return statistics.quantiles([each for phase in phases[name] for each in phase["waited"]], n=20)[-1]

    def median(name: str) -> float:
        return statistics.median(each for phase in phases[name] for each in phase["waited"])

    views = {name: statistics.mean(phase["views"] for phase in rounds) for name, rounds in phases.items()}
    forward = statistics.mean(phase["forward"] for phase in phases["both"])
    return {
        "machine": processor(),
        "load_average": load_average(),
        "rounds": len(phases["both"]),
        "call_alone_ms": {"p50": round(median("calls"), 1), "p95": round(p95("calls"), 1)},
        "call_beside_ms": {"p50": round(median("both"), 1), "p95": round(p95("both"), 1)},
        "forward_ms": round(forward, 1),
        "more_forwards": {
            "p50": round((median("both") - median("calls")) / forward, 2),
            "p95": round((p95("both") - p95("calls")) / forward, 2),
        },
        "views_a_second": {name: round(each, 1) for name, each in views.items()},
        "throughput": round(views["both"] / views["loop"], 3),
        "of_each_round": [
            round(both["views"] / loop["views"], 3) for both, loop in zip(phases["both"], phases["loop"], strict=True)
        ],
    }


async def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=float, default=6.0)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--at-once", type=int, default=4)
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    phases: dict[str, list[dict[str, Any]]] = {"calls": [], "loop": [], "both": []}
    with start_server([*SERVING, "--set", "batch.max_rows=16"]) as server:
        where = server.address, server.metrics
        await measure(*where, 2.0, True, args.at_once)  # not counted
        for _ in range(args.rounds):
            phases["calls"].append(await measure(*where, args.seconds, True, 0))
            phases["loop"].append(await measure(*where, args.seconds, False, args.at_once))
            phases["both"].append(await measure(*where, args.seconds, True, args.at_once))
            args.out.write_text(json.dumps(report(phases), indent=1) + "\n")
    print(args.out.read_text())


if __name__ == "__main__":
    asyncio.run(main())
