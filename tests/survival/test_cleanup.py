"""However a call ends, wherever it is then, at whichever port: nothing of it stays behind.

Each cell of the matrix holds one call at one stage, ends it in one way, lets the stage go on, and then looks whether
all that the server counts, its tasks and its files are what they were before.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
import psutil
import pytest
from torch import Tensor
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.http.conftest import BothTransports, open_transports
from tests.patience import PATIENCE
from tests.rpc.conftest import frame, jpeg, opening, question, until
from tests.rpc.test_oip import Client, infer
from tests.serving.toys import Diary, Trail
from tests.survival.wires import Wire, wire
from tta_service import Evidence
from tta_service.core.request import Encoded, Raw
from tta_service.images.decode import decode
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

STAGES = ("decode", "queue", "forward", "turn", "adapt", "update")
ENDINGS = ("done", "cancelled", "timed out", "killed", "error", "stopping")
BUDGET, GRACE = 0.15, 0.1  # seconds of a call that times out, and of a server that stops
LIMIT = 20.0  # seconds of a cell, of which it needs a fraction of one
OURS = "_AioCall."  # tasks of grpcio's client
NAMES = ["cat", "dog", "car"]


class Gate:
    """Holds the first work that comes to a stage; then that raises, if it should."""

    def __init__(self) -> None:
        self._stage, self.fails, self.forwards = "", False, 0
        self.reached, self.go = threading.Event(), threading.Event()

    def hold(self, stage: str) -> None:
        self._stage = stage
        self.reached.clear()
        self.go.clear()

    def free(self) -> None:
        self._stage, self.fails = "", False
        self.go.set()

    def come(self, stage: str) -> None:
        if stage == self._stage:
            self._stage = ""
            self.reached.set()
            assert self.go.wait(PATIENCE)
            if self.fails:
                self.fails = False
                raise ZeroDivisionError("of the test")


GATE = Gate()


@dataclass(frozen=True)
class Held(Diary):
    """Answers before it learns, and comes to the gate in both."""

    name: ClassVar[str] = "held"

    def adapt(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Trail]:
        logits, carry = self.predict(seen, memory)
        return logits, self.update(seen, memory, carry)

    def predict(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Any]:
        GATE.come("adapt")
        return super().adapt(seen, memory)

    def update(self, seen: Evidence, memory: Trail, carry: Any) -> Trail:
        GATE.come("update")
        return carry


class HeldCLIP(FakeCLIP):
    def encode_image(self, *given: Any) -> Tensor:
        GATE.come("forward")
        features = super().encode_image(*given)
        GATE.forwards += 1
        return features


def held_decode(image: Encoded | Raw) -> Tensor:
    GATE.come("decode")
    return decode(image)


@asynccontextmanager
async def open_world() -> AsyncIterator[BothTransports]:
    async with open_transports(clip=HeldCLIP(), decode=held_decode) as both:
        both.rpc.service.server_info.parsed[pb.Choice, HELD.SerializeToString(deterministic=True)] = Held(), 1
        try:
            yield both
        finally:
            GATE.free()


HELD = pb.Choice(name="held")
OPTIONS = pb.Options(strategy=HELD)


# ---- the ports


@dataclass
class Call:
    """One call at one port, through a wire of its own."""

    both: BothTransports
    budget: float | None
    session: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None: ...
    async def finish(self) -> str:
        """How it ended."""
        return ""

    async def cancel(self) -> None: ...
    def kill(self) -> None: ...

    async def close(self) -> None:
        await self.stack.aclose()


class ByGrpc(Call):
    wire: Wire
    call: Any

    async def start(self) -> None:
        self.wire = await wire(f"127.0.0.1:{self.both.rpc.port}")
        self.stack.push_async_callback(self.wire.close)
        await self.ask()

    async def ask(self) -> None: ...

    async def finish(self) -> str:
        try:
            await self.read()
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            return error.code().name if isinstance(error, grpc.aio.AioRpcError) else "CANCELLED"
        return "OK"

    async def read(self) -> None:
        await self.call

    async def cancel(self) -> None:
        self.call.cancel()

    def kill(self) -> None:
        self.wire.tear()


class Unary(ByGrpc):
    async def ask(self) -> None:
        request = question(options=OPTIONS, session_id=self.session)
        self.call = AdaptationServiceStub(self.wire.channel).Classify(request, timeout=self.budget)
        await asyncio.sleep(0)


class Infer(ByGrpc):
    async def ask(self) -> None:
        request = infer("tta", strategy="held", sequence_id=self.session, sequence_start=True)
        self.call = Client(self.wire.channel).ModelInfer(request, timeout=self.budget)
        await asyncio.sleep(0)


class Stream(ByGrpc):
    policy: Any = pb.OpenStream.POLICY_LATEST

    async def ask(self) -> None:
        self.call = AdaptationServiceStub(self.wire.channel).ClassifyStream()
        first = opening(options=OPTIONS, session_id=self.session, policy=self.policy)
        if self.budget:
            first.open.frame_budget.FromNanoseconds(int(self.budget * 1e9))
        await self.call.write(first)
        await self.call.write(frame(1))

    async def read(self) -> None:
        while (reply := await self.call.read()) is not grpc.aio.EOF:
            if reply.WhichOneof("kind") in ("answer", "error", "draining"):
                await self.call.done_writing()


class Block(Stream):
    policy = pb.OpenStream.POLICY_BLOCK


class InferStream(ByGrpc):
    async def ask(self) -> None:
        self.call = Client(self.wire.channel).ModelStreamInfer()
        more = {"timeout": int(self.budget * 1e6)} if self.budget else {}
        await self.call.write(infer("tta", strategy="held", sequence_id=self.session, sequence_start=True, **more))

    async def read(self) -> None:
        if await self.call.read() is not grpc.aio.EOF:
            await self.call.done_writing()
            while await self.call.read() is not grpc.aio.EOF:
                pass


class Http(Call):
    path = "/v1/classify"

    def ask(self, image: str) -> dict[str, Any]:
        labels = {"label_set": {"names": NAMES}}
        ask = {"image": {"encoded": image}, "labels": labels, "session_id": self.session}
        return {**ask, "options": {"strategy": {"name": "held"}}}

    async def start(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.both.port)
        self.stack.callback(self.writer.transport.abort)
        body = json.dumps(self.ask(base64.b64encode(jpeg()).decode())).encode()
        limit = f"X-Timeout-Ms: {1000 * self.budget:g}\r\n" if self.budget else ""
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\n{limit}Content-Length: {len(body)}\r\n"
        self.writer.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)

    async def finish(self) -> str:
        with contextlib.suppress(OSError):
            return (await self.reader.read())[9:12].decode() or "closed"
        return "closed"

    async def cancel(self) -> None:
        self.writer.close()

    def kill(self) -> None:
        self.writer.transport.abort()


class InferHttp(Http):
    path = "/v2/models/tta/infer"

    def ask(self, image: str) -> dict[str, Any]:
        parameters = {"strategy": "held", "labels": ",".join(NAMES), "sequence_id": self.session}
        inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [image]}]
        return {"inputs": inputs, "parameters": {**parameters, "sequence_start": True}}


class WebSocket(Call):
    async def start(self) -> None:
        self.socket = await self.stack.enter_async_context(
            connect(f"ws://127.0.0.1:{self.both.port}/v1/stream", proxy=None, close_timeout=0.2)
        )
        first = {"labels": {"label_set": {"names": NAMES}}, "session_id": self.session}
        first |= {"options": {"strategy": {"name": "held"}}}
        first |= {"frame_budget": f"{self.budget}s"} if self.budget else {}
        head = json.dumps({"frame_id": 1}).encode()
        await self.socket.send(json.dumps({"open": first}))
        await self.socket.send(len(head).to_bytes(4, "big") + head + jpeg())

    async def finish(self) -> str:
        try:
            while True:
                reply = json.loads(await self.socket.recv())
                if not {"answer", "error", "draining"}.isdisjoint(reply):
                    await self.socket.send("")
        except ConnectionClosed as closed:
            return str(closed.rcvd.code) if closed.rcvd else "closed"

    async def cancel(self) -> None:
        await self.socket.close()

    def kill(self) -> None:
        self.socket.transport.abort()


DOORS = {
    "unary": Unary,
    "stream": Stream,
    "BLOCK": Block,
    "HTTP": Http,
    "WebSocket": WebSocket,
    "infer": Infer,
    "infer stream": InferStream,
    "infer by HTTP": InferHttp,
}
COLUMNS = [pytest.param(door, marks=pytest.mark.slow) if door == "infer by HTTP" else door for door in DOORS]
HARMFUL = {"INTERNAL", "UNKNOWN", "500", "1011", "1006"}


# ---- what is held


async def held_by(both: BothTransports) -> dict[str, int]:
    """What must be nothing while no call runs."""
    parts, service = both.rpc.parts, both.rpc.service
    sessions = parts.sessions.registry.open_sessions
    return {
        "requests": parts.admission.running_requests + parts.admission.waiting,
        "rows": parts.admission.running_rows + parts.admission.queued_rows,
        "cost": parts.admission.cost,
        "batch queue": len(parts.batcher.queue.waiting),
        "uploads": both.rpc.uploads.bytes + both.rpc.uploads.waiting,
        "bodies": both.budget.held,
        "frames": service.buffered.bytes,
        "streams": parts.sessions.counters.streams + parts.sessions.registry.leases,
        "sessions in use": sum(not session.evictable for session in sessions),
    }


def tasks_and_files() -> Counter[str]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    coroutines = [task.get_coro() for task in tasks]  # a generator that is being closed has no name
    names = [str(getattr(one, "__qualname__", type(one).__name__)) for one in coroutines]
    return Counter({f"task {name}": 1 for name in names if not name.startswith(OURS)}) | Counter(
        files=psutil.Process().num_fds()
    )


async def rest(both: BothTransports, before: Counter[str], cell: str) -> None:
    """Fails unless all is as it was within some time."""
    try:
        async with asyncio.timeout(PATIENCE):
            while any((await held_by(both)).values()) or tasks_and_files() - before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        held = {what: count for what, count in (await held_by(both)).items() if count}
        pytest.fail(f"{cell}: there is still {held}, {tasks_and_files() - before}")


# ---- the matrix


async def bring_to(both: BothTransports, call: Call, stage: str) -> None:
    """The call waits at that stage, or has ended before it."""
    if stage == "turn":
        GATE.hold("adapt")
        request = question(options=OPTIONS, session_id=call.session)
        first = asyncio.ensure_future(code_of(both.rpc.stub.Classify(request)))
        call.stack.push_async_callback(asyncio.wait, {first})
        await until(GATE.reached.is_set)
        seen = GATE.forwards
        await call.start()
        await until(lambda: GATE.forwards > seen)
        await asyncio.sleep(0.01)  # from the forward to the turn
        return
    if stage == "queue":
        GATE.hold("")
        both.rpc.parts.lanes.device.submit(GATE.go.wait, PATIENCE)
        await call.start()
        await until(lambda: both.rpc.parts.admission.running_requests > 0)
        await asyncio.sleep(0.02)  # from the permit to the queue
        return
    GATE.hold(stage)
    await call.start()
    await until(GATE.reached.is_set)


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def end(both: BothTransports, call: Call, stage: str, ending: str) -> str:
    """Ends the call that way; the gate is open then."""
    if ending == "stopping":
        both.rpc.server.drain(GRACE)
        stopping = [asyncio.create_task(one.stop(GRACE)) for one in (both.rpc.server, both.server)]
        await asyncio.sleep(2 * GRACE)
        GATE.free()
        how = await call.finish()
        await asyncio.wait(stopping)
        return how
    if ending == "cancelled":
        await call.cancel()
    elif ending == "killed":
        call.kill()
    elif ending == "timed out":
        await asyncio.sleep(BUDGET + 0.05)
    GATE.fails = ending == "error"
    if GATE.fails and stage == "queue":
        GATE.hold("forward")
        GATE.go.set()
    else:
        GATE.go.set()
    return await call.finish() if ending in ("done", "error", "timed out") else ""


EXPECTED = {"done": {"OK", "200", "1000"}}


@pytest.mark.parametrize("door", COLUMNS)
async def test_nothing_stays_behind(door: str):
    endings = [one for one in ENDINGS if one != "stopping"]
    async with open_world() as both:
        before = Counter[str]()
        for place, (stage, ending) in enumerate([("decode", "done"), *((s, e) for s in STAGES for e in endings)]):
            cell, call = f"{door}, {stage}, {ending}", make_call(door, both, ending, place)
            async with asyncio.timeout(LIMIT):
                await bring_to(both, call, stage)
                how = await end(both, call, stage, ending)
                GATE.free()
                await call.close()
            assert ending not in EXPECTED or how in EXPECTED[ending], (cell, how)
            assert ending == "error" or how not in HARMFUL, (cell, how)
            if not place:  # what is made once is there now
                await both.rpc.stub.Classify(question())
                await asyncio.sleep(0.05)
                before = tasks_and_files()
            await rest(both, before, cell)
            again = question(options=OPTIONS, session_id=call.session)  # its turn comes: none of before is in the queue
            assert (await both.rpc.stub.Classify(again)).top, cell


@pytest.mark.parametrize("door", COLUMNS)
async def test_nothing_stays_behind_a_server_that_stops(door: str):
    before = Counter[str]()
    for place, stage in enumerate((STAGES[0], *STAGES)):
        cell = f"{door}, {stage}, stopping"
        async with open_world() as both:
            await both.rpc.stub.Classify(question())  # encodes the labels
            call = make_call(door, both, "stopping", place)
            async with asyncio.timeout(LIMIT):
                await bring_to(both, call, stage)
                await end(both, call, stage, "stopping")
                GATE.free()
                await call.close()
            await rest(both, tasks_and_files(), cell)
        before = before or tasks_and_files()  # after the first one
        await rest(both, before, cell)


def make_call(door: str, both: BothTransports, ending: str, place: int) -> Call:
    return DOORS[door](both, BUDGET if ending == "timed out" else None, f"cell-{place}")
