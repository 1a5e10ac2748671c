"""The clients of cycles.py: random streams and single calls, many at once, in a process of their own.

Prints how many have begun, now and then, and at the end as JSON how they ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import uvloop
from PIL import Image
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

LABELS = pb.Labels(label_set=pb.LabelSet(names=["flower", "temple", "cat"]))
POLICIES = [getattr(pb.OpenStream, f"POLICY_{name}") for name in ("BLOCK", "LATEST", "DROP_OLDEST", "DROP_NEWEST")]
ENDINGS = ("done", "done, unheard", "cancelled", "hung up", "torn")
PATIENCE = 60.0  # seconds without an answer that are a fault
SHARED = ("a", "b", "c")


def picture() -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


PICTURE, BROKEN = picture(), picture()[:-500]


class Wire:
    """A channel through a relay of its own, which can be torn wherever the bytes are."""

    def __init__(self) -> None:
        self._ends: list[asyncio.StreamWriter] = []

    async def open(self, address: str) -> grpc.aio.Channel:
        host, _, port = address.rpartition(":")

        async def relay(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            there, forth = await asyncio.open_connection(host, int(port))
            self._ends += (back, forth)
            await asyncio.gather(_pump(here, forth), _pump(there, back))

        self._relay = await asyncio.start_server(relay, "127.0.0.1", 0)
        near = "{}:{}".format(*self._relay.sockets[0].getsockname())
        return grpc.aio.insecure_channel(near, [("grpc.use_local_subchannel_pool", 1)])

    def tear(self) -> None:
        self._relay.close()
        for end in self._ends:
            end.transport.abort()


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(1 << 16):
            to.write(chunk)
            await to.drain()
    to.close()


def frames(chance: random.Random, numbers: Iterator[int]) -> Iterator[pb.ClassifyStreamRequest]:
    """Some, one in ten of them broken."""
    for number in itertools.islice(numbers, chance.randrange(6)):
        image = pb.Image(encoded=BROKEN if chance.random() < 0.1 else PICTURE)
        yield pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=number, image=image))


def make_opening(chance: random.Random, life: int) -> pb.ClassifyStreamRequest:
    name = chance.choice(["", "", f"own-{life}", *SHARED])
    first = pb.OpenStream(labels=LABELS, policy=chance.choice(POLICIES), session_id=name, buffer=chance.randint(1, 4))
    first.options.strategy.name = chance.choice(["zero_shot", "tda", "tda", "dota"])
    return pb.ClassifyStreamRequest(open=first)


async def stream(chance: random.Random, life: int, address: str) -> str:
    """One camera's life; how it ended."""
    wire, numbers, how = Wire(), itertools.count(1), chance.choice(ENDINGS)
    channel = await wire.open(address)
    call = AdaptationServiceStub(channel).ClassifyStream()
    try:
        await call.write(make_opening(chance, life))
        if chance.random() < 0.8:
            await call.read()  # the status
        for message in frames(chance, numbers):
            await call.write(message)
            if chance.random() < 0.3:
                await call.read()
        if how.startswith("done"):
            await call.done_writing()
        while how == "done" and await call.read() is not grpc.aio.EOF:
            pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # INTERNAL: grpcio, for writing after the end
        how = f"by the server: {(await call.code()).name}".replace(": INTERNAL", ", while it wrote")
    finally:
        if how == "torn":
            wire.tear()
        elif how == "cancelled":
            call.cancel()
        await channel.close(grace=None)
        wire.tear()
    return how


async def make_call(chance: random.Random, life: int, stub: AdaptationServiceStub) -> str:
    """A single call, or one that resets, closes, snapshots and restores a shared session."""
    name = chance.choice(SHARED)
    request = pb.ClassifyRequest(image=pb.Image(encoded=PICTURE), labels=LABELS, session_id=chance.choice(["", name]))
    request.options.strategy.name = chance.choice(["zero_shot", "tda"])
    calls: list[Any] = [
        lambda: stub.Classify(request),
        lambda: stub.Classify(request, timeout=chance.choice([0.002, 0.02])),
        lambda: stub.ResetSession(pb.ResetSessionRequest(session_id=name)),
        lambda: stub.CloseSession(pb.CloseSessionRequest(session_id=name)),
        lambda: snapshot_and_restore(stub, name),
    ]
    try:
        await chance.choice(calls)()
    except grpc.aio.AioRpcError as error:
        return f"question: {error.code().name}"
    return "question: OK"


async def snapshot_and_restore(stub: AdaptationServiceStub, name: str) -> None:
    reply = await stub.SnapshotSession(pb.SnapshotSessionRequest(session_id=name))
    await stub.RestoreSession(pb.RestoreSessionRequest(snapshot=reply.snapshot))


async def run(args: dict[str, Any]) -> None:
    begun, ended = itertools.count(1), Counter[str]()
    async with grpc.aio.insecure_channel(args["address"]) as channel:
        stub = AdaptationServiceStub(channel)

        async def live() -> None:
            while (life := next(begun)) <= args["cycles"]:
                chance = random.Random(f"{args['seed']} {life}")
                if life % 10 == 0:
                    print(life, flush=True)
                work = (
                    make_call(chance, life, stub) if chance.random() < 0.15 else stream(chance, life, args["address"])
                )
                async with asyncio.timeout(PATIENCE):
                    ended[await work] += 1

        await asyncio.gather(*(live() for _ in range(args["at_once"])))
    print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(json.loads(sys.argv[1])))
