"""The cameras of load.py, in a process of their own: an open loop, whatever the service does.

Frame k of a camera is captured at its start + k / fps, whether or not it can be sent; its age counts from then.
Each second it prints one line of JSON on what happened.

A camera that sends "latest" has a slot of one frame, as a device has: while the transport takes nothing, newer frames
replace the one that waits (counted as `skipped`). With `every` it queues them all, as the naive loop does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from tta_client.camera import encode_jpegs, open_source
from tta_client.camera.photographs import LABELS
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")
POLICIES = {"latest": pb.OpenStream.POLICY_LATEST, "block": pb.OpenStream.POLICY_BLOCK}
PICTURES = 24  # different ones of each size


@dataclass(slots=True)
class Tally:
    """Since the last line."""

    answers: list[list[float]] = field(
        default_factory=list
    )  # camera, age on its clock, dropped, rows of its batch, views, stages
    counts: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        report = {"answers": self.answers, "counts": self.counts}
        self.answers, self.counts = [], Counter()
        return json.dumps(report)


def pictures(source: str, size: tuple[int, int]) -> list[bytes]:
    """JPEGs as a camera sends them; the demo's own scenes when there is no `source`."""
    width, height = size
    frames = open_source(source or f"virtual:frames={PICTURES},width={width},height={height},shot=3")
    taken = itertools.islice(encode_jpegs(frames, short_side=min(size)), PICTURES)
    return [bytes(frame.image) for frame in taken]  # type: ignore[arg-type]


def make_opening(camera: dict[str, Any]) -> pb.ClassifyStreamRequest:
    first = pb.OpenStream(policy=POLICIES[camera["policy"]], labels=pb.Labels(label_set=pb.LabelSet(names=LABELS)))
    first.options.strategy.name = camera["strategy"]
    first.options.strategy.parameters.update(camera["parameters"])
    return pb.ClassifyStreamRequest(open=first)


def frame(number: int, jpeg: bytes) -> pb.ClassifyStreamRequest:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=number, image=pb.Image(encoded=jpeg), capture_time=stamp))


class Camera:
    """One open stream: `send` by the clock, `read` what comes. `fps` 0: the next frame when `width` are not under way.

    `captured` is kept only for frames that may still be answered.
    """

    def __init__(self, number: int, args: dict[str, Any], images: list[bytes], call: Any, tally: Tally) -> None:
        self.number, self.images, self.call, self.tally = number, images, call, tally
        self.fps, self.every, self.under_way = args["fps"], args["every"], asyncio.Semaphore(args["width"])
        self.captured: dict[int, float] = {}

    async def send(self, start: float, end: float) -> None:
        number = 0
        while True:
            if self.fps:
                due = start + number / self.fps
                if not self.every:  # the newest that has been captured, or the next one
                    newest = int((time.monotonic() - start) * self.fps)
                    self.tally.counts["skipped"] += max(0, newest - number)
                    number = max(number, newest)
                    due = start + number / self.fps
                await asyncio.sleep(due - time.monotonic())
            else:
                await self.under_way.acquire()
                due = time.monotonic()
            if time.monotonic() >= end:
                self.tally.counts["never sent"] += max(0, int((end - start) * self.fps) - number)
                return
            self.captured[number] = due
            await self.call.write(frame(number, self.images[(7 * self.number + number) % len(self.images)]))
            self.tally.counts["sent"] += 1
            number += 1

    async def read(self) -> None:
        try:
            while (reply := await self.call.read()) is not grpc.aio.EOF:
                kind = reply.WhichOneof("kind")
                if kind == "answer":
                    self.count_answer(reply.answer)
                elif kind == "error":
                    self.tally.counts["error: " + reply.error.status.message[:60]] += 1
                if kind in ("answer", "error"):
                    self.under_way.release()
        except grpc.aio.AioRpcError as error:
            self.tally.counts[f"stream ended: {error.code().name} {error.details()}"] += 1

    def count_answer(self, answer: pb.FrameAnswer) -> None:
        age = time.monotonic() - self.captured[answer.frame_id]
        while (oldest := next(iter(self.captured))) < answer.frame_id:
            del self.captured[oldest]
        timings = answer.response.timings
        stages = [round(getattr(timings, stage), 6) for stage in STAGES]
        rows, views = answer.response.batch_rows, answer.response.views
        self.tally.answers.append([self.number, round(age, 6), answer.dropped_since_last, rows, views, *stages])


async def run(args: dict[str, Any]) -> None:
    """Prints "warm" once every stream is open, waits for a line, then runs for `seconds`."""
    sizes = {tuple(camera["size"]) for camera in args["cameras"]}
    images = {size: pictures(args["source"], size) for size in sizes}
    tally = Tally()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(args["address"], options) for _ in args["cameras"]]
    cameras: list[Camera] = []
    for number, (one, channel) in enumerate(zip(args["cameras"], channels)):
        call = AdaptationServiceStub(channel).ClassifyStream()
        cameras.append(Camera(number, one, images[tuple(one["size"])], call, tally))
        await call.write(make_opening(one))
        while (await call.read()).WhichOneof("kind") != "status":
            pass
    print("warm", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start, reads = time.monotonic() + 0.1, [asyncio.create_task(camera.read()) for camera in cameras]
    chance, end = random.Random(args["seed"]), start + args["seconds"]
    sends = [asyncio.create_task(camera.send(start + chance.random() / (camera.fps or 1.0), end)) for camera in cameras]
    for second in range(1, args["seconds"] + 1):
        await asyncio.sleep(start + second - time.monotonic())
        print(tally.line(), flush=True)
    _, late = await asyncio.wait(sends, timeout=1.0)  # the naive loop never gets rid of its queue
    for sending in late:
        sending.cancel()
    ended = [camera.call.done_writing() for camera in cameras] if not late else []
    await asyncio.gather(*ended, return_exceptions=True)
    await asyncio.wait(reads, timeout=args["patience"])
    for camera, read in zip(cameras, reads):
        read.cancel()
        camera.call.cancel()
    tally.counts["unanswered"] = sum(len(camera.captured) for camera in cameras)
    print(tally.line(), flush=True)
    await asyncio.gather(*(channel.close() for channel in channels), return_exceptions=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(json.loads(sys.argv[1])))
