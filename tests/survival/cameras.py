"""A camera that records every reply, and the servers that it talks to."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from tests.patience import PATIENCE
from tta_service.app import Application
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = ("flower", "temple", "cat")
LABELS = pb.Labels(label_set=pb.LabelSet(names=NAMES))
BLOCK, LATEST = pb.OpenStream.POLICY_BLOCK, pb.OpenStream.POLICY_LATEST
SECRET = "a secret for tests"
QUICK = {"server.port": 0, "metrics.enabled": False, "batch.max_rows": 16, "lanes.cores": 1, "server.drain": PATIENCE}


def count_written(store: Path) -> int:
    """Sessions in the store."""
    return len(list(store.glob("*.session")))


def most_running_rows(service: Application) -> int:
    """Of admission: two batches, and a quarter of one for small requests.

    More would be for the first requests of further clients; here all calls come from one address, which is one client.
    """
    rows = service.runtime.batcher.max_rows
    return 2 * rows + rows // 4


def picture(number: int, side: int = 64) -> bytes:
    draw = np.random.default_rng(number)
    file = io.BytesIO()
    small = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    small.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def make_opening(
    strategy: str = "tda", parameters: dict[str, float] | None = None, **how: Any
) -> pb.ClassifyStreamRequest:
    first = pb.OpenStream(labels=LABELS, **how)
    first.options.strategy.name = strategy
    first.options.strategy.parameters.update(parameters or {})
    first.options.top_k = len(NAMES)
    return pb.ClassifyStreamRequest(open=first)


def frame(number: int, image: bytes) -> pb.ClassifyStreamRequest:
    return pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=number, image=pb.Image(encoded=image)))


def scores(answer: pb.FrameAnswer) -> dict[str, float]:
    return {score.label: score.logit for score in answer.response.top}


class Camera:
    """One stream. Camera `number` sees pictures of its own; `answers` by frame, `token` once the server drains."""

    def __init__(self, stub: AdaptationServiceStub, number: int = 0) -> None:
        self.call, self.number = stub.ClassifyStream(), number
        self.answers: dict[int, pb.FrameAnswer] = {}
        self.sent = 0  # the last frame
        self.token, self.drained = b"", asyncio.Event()
        self.replied, self.over = asyncio.Event(), False  # another reply; the last one

    async def open(self, strategy: str = "tda", policy: Any = BLOCK, **how: Any) -> pb.SessionStatus:
        await self.call.write(make_opening(strategy, policy=policy, **how))
        while (reply := await self.read()) is not None:
            if reply.WhichOneof("kind") == "status":
                return reply.status.session
        raise EOFError

    def picture(self, number: int) -> bytes:
        return picture(1000 * self.number + number)

    async def send(self, number: int) -> None:
        await self.call.write(frame(number, self.picture(number)))
        self.sent = number

    async def keep_sending(self, at_once: int = 4) -> AsyncIterator[int]:
        """Frames until the stream ends, `at_once` more with each answer: too many, however fast the machine is."""
        for number in itertools.count(self.sent + 1):
            while number > at_once * (1 + len(self.answers)) and not self.over:
                self.replied.clear()
                await self.replied.wait()
            if self.over:
                return
            await self.send(number)
            yield number

    async def frame(self, number: int) -> pb.FrameAnswer:
        """Sends it and waits for its answer."""
        await self.send(number)
        while number not in self.answers:
            assert await self.read() is not None, "the stream has ended"
        return self.answers[number]

    async def read(self) -> pb.ClassifyStreamResponse | None:
        """The next reply, noted; None at the end."""
        reply = grpc.aio.EOF
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await self.call.read()
        finally:
            self.over = reply is grpc.aio.EOF
            self.replied.set()
        if self.over:
            return None
        kind = reply.WhichOneof("kind")
        assert kind != "error", reply.error
        if kind == "answer":
            self.answers[reply.answer.frame_id] = reply.answer
        elif kind == "draining":
            self.token = reply.draining.resume_token
            assert 0 < reply.draining.deadline.ToTimedelta().total_seconds() <= PATIENCE
            self.drained.set()
        return reply

    async def listen(self) -> None:
        """Read replies until the stream ends."""
        while await self.read() is not None:
            pass

    async def end(self) -> None:
        await self.call.done_writing()
        await self.listen()


def knobs(store: Path, **more: Any) -> dict[str, Any]:
    given = {"sessions.store": str(store), "sessions.write_seconds": 3600.0, **QUICK}
    return given | {name.replace("__", "."): value for name, value in more.items()}


@asynccontextmanager
async def start_service(store: Path, **more: Any) -> AsyncIterator[tuple[Application, AdaptationServiceStub]]:
    """A service in this process."""
    settings = load(knobs(store, **more) | {"sessions.secret": SECRET})
    async with Application(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        yield service, AdaptationServiceStub(channel)


class Process:
    """A service in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process, self.address = process, address

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, negative for a signal."""
        return await asyncio.to_thread(self._process.wait, PATIENCE)

    def read_log(self) -> list[str]:
        """Its lines, once it has ended."""
        assert self._process.stderr
        return self._process.stderr.read().splitlines()


@asynccontextmanager
async def process(
    store: Path, keep_log: bool = False, **more: Any
) -> AsyncIterator[tuple[Process, AdaptationServiceStub]]:
    command = [sys.executable, "-m", "tta_service", "serve"]
    command += [f"--set={name}={value}" for name, value in knobs(store, **more).items()]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TTA_SESSIONS__SECRET": SECRET}
    log, out = subprocess.PIPE if keep_log else None, subprocess.PIPE
    with subprocess.Popen(command, stdout=out, stderr=log, text=True, env=environment) as started:  # noqa: ASYNC220
        try:
            assert started.stdout
            found = re.match(r"SERVING grpc=(\S+) ", await asyncio.to_thread(started.stdout.readline))
            assert found, "the service did not start"
            async with grpc.aio.insecure_channel(found[1]) as channel:
                yield Process(started, found[1]), AdaptationServiceStub(channel)
        finally:
            started.kill()
