"""The client of deadlines.py, in a process of its own: reads its options as JSON, prints what happened as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import struct_pb2
from PIL import Image
from sklearn.datasets import load_sample_images

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = ["flower", "temple", "cat", "dog", "car", "house", "tree", "person", "ship", "bird"]
SHIFTS = 12  # pictures of each photograph
Outcome = tuple[int, float, float, str, int, str]  # kind, budget, seconds, what came, views, reason


def pictures(width: int = 448, height: int = 336) -> list[bytes]:
    """Cuts of two photographs, as a camera sends them."""
    files: list[bytes] = []
    for photograph in load_sample_images().images:
        whole = Image.fromarray(photograph)
        for shift in range(SHIFTS):
            file, left = io.BytesIO(), 8 * shift
            whole.crop((left, shift, left + width, shift + height)).save(file, "JPEG", quality=90)
            files.append(file.getvalue())
    return files


class Caller:
    """Calls of several kinds to one server."""

    def __init__(self, stub: AdaptationServiceStub, labels: pb.Labels, kinds: list[list[Any]]) -> None:
        self._stub, self._files = stub, pictures()
        self._options = [_options(name, parameters) for name, parameters in kinds]
        self._labels, self._number = labels, 0

    async def ask(self, kind: int, budget: float | None = None) -> pb.ClassifyResponse:
        self._number += 1
        image = pb.Image(encoded=self._files[self._number % len(self._files)])
        request = pb.ClassifyRequest(image=image, labels=self._labels, options=self._options[kind])
        return await self._stub.Classify(request, timeout=budget)

    async def seconds(self, kind: int, times: int = 15) -> float:
        """Median, one after the other."""
        taken: list[float] = []
        for _ in range(times):
            began = time.monotonic()
            await self.ask(kind)
            taken.append(time.monotonic() - began)
        return statistics.median(taken[times // 3 :])

    async def capacity(self, kinds: list[int], seconds: float) -> float:
        """Requests a second when eight are always under way."""
        answered, end = 0, time.monotonic() + seconds

        async def loop(draw: random.Random) -> None:
            nonlocal answered
            while time.monotonic() < end:
                await self.ask(draw.choice(kinds))
                answered += 1

        await asyncio.gather(*(loop(random.Random(number)) for number in range(8)))
        return answered / seconds

    async def outcome(self, kind: int, budget: float) -> Outcome:
        began, views, reason = time.monotonic(), 0, ""
        try:
            answer = await self.ask(kind, budget)
        except grpc.aio.AioRpcError as error:
            outcome = error.code().name
        else:
            outcome, views = _judge_answer(answer, self._options[kind]), answer.views
            reason = pb.Degraded.Reason.Name(answer.degraded.reason) if answer.HasField("degraded") else ""
        return kind, budget, time.monotonic() - began, outcome, views, reason


def _judge_answer(answer: pb.ClassifyResponse, asked: pb.Options) -> str:
    """whole, fewer or plain; "silent" when it is less than was asked and does not say how."""
    less, views = answer.degraded, int(asked.strategy.parameters.fields["views"].number_value)
    if not answer.HasField("degraded"):
        return "whole" if answer.views == views and answer.strategy.name == asked.strategy.name else "silent"
    if less.views_asked != views or less.views_done != answer.views or not less.reason:
        return "silent"
    if less.zero_shot:
        return "plain" if answer.strategy.name == "zero_shot" and answer.views == 1 else "silent"
    return "fewer" if answer.strategy.name == asked.strategy.name and answer.views < views else "silent"


def _options(name: str, parameters: dict[str, float]) -> pb.Options:
    values = struct_pb2.Struct()
    values.update(parameters)
    return pb.Options(strategy=pb.Choice(name=name, parameters=values))


def arrivals(seed: int, per_second: float, seconds: float) -> Iterator[float]:
    """Moments of a Poisson process."""
    draw, at = random.Random(seed), 0.0
    while (at := at + draw.expovariate(per_second)) < seconds:
        yield at


async def main(args: dict[str, Any]) -> dict[str, Any]:
    asked, plain = list(range(len(args["kinds"]))), len(args["kinds"])
    async with grpc.aio.insecure_channel(args["address"]) as channel:
        stub = AdaptationServiceStub(channel)
        put = await stub.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=NAMES)))
        kinds = [*args["kinds"], ["zero_shot", {}], ["mean", {"views": 512}]]
        caller = Caller(stub, pb.Labels(id=put.info.id), kinds)
        many = [await caller.ask(plain + 1) for _ in range(3)]
        rows = max(answer.batch_rows for answer in many)
        forwards = 512 / rows
        batch = statistics.median(answer.timings.encode for answer in many) / forwards
        alone = [await caller.seconds(kind) for kind in [*asked, plain]]
        capacity = await caller.capacity(asked, args["loop"])
        draw, tasks = random.Random(args["seed"]), list[asyncio.Task[Outcome]]()
        began = time.monotonic()
        for at in arrivals(args["seed"], args["overload"] * capacity, args["seconds"]):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            kind = draw.choice(asked)
            budget = alone[kind] * draw.uniform(0.0, 2.0)
            tasks.append(asyncio.create_task(caller.outcome(kind, budget)))
        outcomes = await asyncio.gather(*tasks)
    return {
        "batch": {"rows": rows, "seconds": batch},
        "alone": alone[:-1],
        "plain": alone[-1],
        "capacity": capacity,
        "outcomes": outcomes,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
