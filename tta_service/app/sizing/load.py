"""Cameras as a process of their own, which says how many of their frames were answered.

`python -m tta_service.app.sizing.load` reads a `Load` as JSON. It writes `begins` when all streams have had answers,
and at the end the answers since then, their seconds and their bytes. A refusal's sentence goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from ...core.errors import BadRequest
from ...rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from ...wire.v1 import tta_pb2 as pb

AHEAD = 2  # unanswered frames of a stream
FIRST = 3  # answers of each stream before it counts


@dataclass(frozen=True, slots=True)
class Load:
    """Streams that send as fast as they are answered, for so many seconds at least. Messages are in base64."""

    address: str
    opening: str
    image: str
    streams: int
    seconds: float


class Driver:
    """The streams of one load."""

    def __init__(self, load: Load) -> None:
        self._load, self._answers, self._bytes, self._warm = load, 0, 0, 0
        self._ends, self._all_warm = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Writes what the module says. Raises a group of `BadRequest` where the service refuses."""
        async with grpc.aio.insecure_channel(self._load.address) as channel, asyncio.TaskGroup() as cameras:
            stub = AdaptationServiceStub(channel)
            for number in range(self._load.streams):
                cameras.create_task(self._watch(stub, f"camera-{number}"))
            await self._all_warm.wait()
            print("begins", flush=True)
            self._answers, self._bytes, began = 0, 0, time.monotonic()
            await asyncio.sleep(self._load.seconds)
            while self._answers < self._load.streams:  # noqa: ASYNC110 - however slow the machine is
                await asyncio.sleep(0.05)
            print(json.dumps([self._answers, time.monotonic() - began, self._bytes]), flush=True)
            self._ends.set()

    async def _watch(self, stub: AdaptationServiceStub, session: str) -> None:
        opening, image = pb.OpenStream(), pb.Image()
        opening.ParseFromString(b64decode(self._load.opening))
        image.ParseFromString(b64decode(self._load.image))
        opening.session_id, room, seen = session, asyncio.Semaphore(AHEAD), 0

        async def messages() -> AsyncIterator[pb.ClassifyStreamRequest]:
            yield pb.ClassifyStreamRequest(open=opening)
            number = 0
            while await room.acquire() and not self._ends.is_set():
                number += 1
                yield pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=number, image=image))

        try:
            async for reply in stub.ClassifyStream(messages(), metadata=(("x-session-id", session),)):
                if reply.HasField("error"):
                    raise BadRequest(reply.error.status.message)
                if reply.HasField("answer"):
                    room.release()
                    self._answers, self._bytes, seen = self._answers + 1, self._bytes + reply.ByteSize(), seen + 1
                    self._warm += seen == FIRST
                    if self._warm == self._load.streams:
                        self._all_warm.set()
                    if self._ends.is_set():
                        return
        except grpc.aio.AioRpcError as error:
            raise BadRequest(error.details() or error.code().name) from None


async def main(load: Load) -> None:
    """The process: runs the streams, and writes the sentence of a refusal."""
    try:
        await Driver(load).run()
    except* BadRequest as refused:
        print(refused.exceptions[0], file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(Load(**json.load(sys.stdin))))
