"""What a server has learnt outlives it: killed, drained, or overtaken by another one with the same store."""

from __future__ import annotations

import asyncio
import io
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
import pytest
from PIL import Image

from tta_service.app import Service
from tta_service.rpc.v1 import tta_pb2 as pb
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load

LABELS = pb.Labels(label_set=pb.LabelSet(names=["flower", "temple", "cat"]))
RESTORED = pb.SessionStatus.ORIGIN_RESTORED
SECRET = "a secret for tests"
QUICK = {"server.port": 0, "metrics.enabled": False, "batch.max_rows": 16, "lanes.cores": 1, "server.drain": 20.0}


def picture(number: int) -> bytes:
    draw = np.random.default_rng(number)
    file = io.BytesIO()
    small = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    small.resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def a_service(store: Path, **more: Any) -> Service:
    given = {"sessions.store": str(store), "sessions.secret": SECRET, "sessions.write_seconds": 3600.0, **QUICK}
    return Service(load(given | {name.replace("__", "."): value for name, value in more.items()}))


@asynccontextmanager
async def serving(store: Path, **more: Any) -> AsyncIterator[tuple[Service, AdaptationServiceStub]]:
    async with a_service(store, **more) as service, grpc.aio.insecure_channel(service.address) as channel:
        yield service, AdaptationServiceStub(channel)


def written(store: Path) -> int:
    return len(list(store.glob("*.session")))


class Camera:
    """One stream that waits for each of its answers."""

    def __init__(self, stub: AdaptationServiceStub) -> None:
        self.call = stub.ClassifyStream()

    async def open(self, **how: Any) -> pb.StreamStatus:
        opening = pb.OpenStream(labels=LABELS, policy=pb.OpenStream.POLICY_BLOCK, **how)
        opening.options.strategy.name = "tda"
        opening.options.strategy.parameters["views"] = 2
        await self.call.write(pb.ClassifyStreamRequest(open=opening))
        return (await self.next("status")).status

    async def frame(self, number: int) -> pb.FrameAnswer:
        frame = pb.Frame(frame_id=number, image=pb.Image(encoded=picture(number)))
        await self.call.write(pb.ClassifyStreamRequest(frame=frame))
        return (await self.next("answer")).answer

    async def next(self, kind: str) -> pb.ClassifyStreamResponse:
        while (reply := await self.call.read()).WhichOneof("kind") != kind:
            pass
        return reply

    async def end(self) -> None:
        await self.call.done_writing()
        while await self.call.read() is not grpc.aio.EOF:
            pass


def scores(answer: pb.FrameAnswer) -> dict[str, float]:
    return {score.label: score.logit for score in answer.response.top}


async def test_killed_in_the_middle_every_stream_goes_on_from_its_last_write(tmp_path: Path):
    knobs = {**QUICK, "sessions.store": str(tmp_path), "sessions.write_seconds": 3600, "sessions.write_frames": 4}
    command = [
        sys.executable,
        "-m",
        "tta_service",
        "serve",
        *(f"--set={name}={value}" for name, value in knobs.items()),
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "TTA_SESSIONS__SECRET": SECRET}
    names, frames = ["a", "b", "c"], 10
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: ASYNC220
        try:
            assert process.stdout
            found = re.match(r"SERVING grpc=(\S+) ", await asyncio.to_thread(process.stdout.readline))
            assert found
            async with grpc.aio.insecure_channel(found[1]) as channel:
                cameras = [Camera(AdaptationServiceStub(channel)) for _ in names]
                for camera, name in zip(cameras, names):
                    await camera.open(session_id=name)
                for number in range(1, frames + 1):
                    await asyncio.gather(*(camera.frame(number) for camera in cameras))
                while written(tmp_path) < len(names):  # noqa: ASYNC110 - another process writes them
                    await asyncio.sleep(0.05)
                process.send_signal(signal.SIGKILL)
                process.wait(60)
        finally:
            process.kill()
    async with serving(tmp_path) as (_, stub):
        whole = Camera(stub)
        assert (await whole.open(session_id="uninterrupted")).session.frames == 0
        expected = {number: scores(await whole.frame(number)) for number in range(1, frames + 3)}
        for name in names:
            camera = Camera(stub)
            status = (await camera.open(session_id=name)).session
            last = status.last_frame_id
            assert status.origin == RESTORED and 4 <= last == status.frames <= frames
            for number in range(last + 1, frames + 3):
                answer = await camera.frame(number)
                assert scores(answer) == pytest.approx(expected[number], abs=1e-3)
                assert answer.response.session.frames == number
        alone = Camera(stub)
        await alone.open()
        assert scores(await alone.frame(frames + 2)) != pytest.approx(expected[frames + 2], abs=1e-3)  # memory matters


async def test_a_drained_server_loses_nothing_and_its_tokens_open_the_streams_again(tmp_path: Path):
    async with serving(tmp_path) as (_, elsewhere):
        tokens: dict[str, bytes] = {}
        service = await a_service(tmp_path).__aenter__()
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = AdaptationServiceStub(channel)
            cameras = {"door": Camera(stub), "": Camera(stub), "cut": Camera(stub)}
            for name, camera in cameras.items():
                await camera.open(session_id=name)
                for number in (1, 2, 3):
                    await camera.frame(number)
            draining = asyncio.create_task(service.__aexit__(None, None, None))  # as after SIGTERM
            for name, camera in cameras.items():
                told = (await camera.next("draining")).draining
                tokens[name] = told.resume_token
                assert 0 < told.deadline.ToTimedelta().total_seconds() <= 20
                assert (await camera.frame(4)).response.session.frames == 4  # until then all goes on
            await cameras["door"].end()
            await cameras[""].end()
            cameras["cut"].call.cancel()  # this one goes without a word
            await draining
        for name, token in tokens.items():
            camera = Camera(elsewhere)
            status = (await camera.open(resume_token=token)).session
            assert (status.origin, status.frames, status.last_frame_id) == (RESTORED, 4, 4)
            assert status.session_id == name or not name
            assert (await camera.frame(5)).response.session.frames == 5
            await camera.end()
        for wrong in ({"resume_token": tokens[""], "session_id": "door"}, {"resume_token": b"x" + tokens["door"]}):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await Camera(elsewhere).open(**wrong)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_server_that_was_overtaken_lets_go_and_says_where_the_session_is(tmp_path: Path):
    async with serving(tmp_path, sessions__write_frames=2) as (_, one), serving(tmp_path) as (second, two):
        old, new = Camera(one), Camera(two)
        await old.open(session_id="door")
        for number in (1, 2):
            await old.frame(number)
        while not written(tmp_path):  # noqa: ASYNC110 - the write is the server's own affair
            await asyncio.sleep(0.01)
        status = (await new.open(session_id="door")).session
        assert (status.origin, status.last_frame_id) == (RESTORED, 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            for number in (3, 4):
                await old.frame(number)
            await old.next("the end")
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert f"moved to {second.address}" in str(caught.value.details())
        assert (await new.frame(3)).response.session.frames == 3
        back = Camera(one)
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await one.GetSession(pb.GetSessionRequest(session_id="door"))
        await new.end()
        assert (await back.open(session_id="door")).session.frames == 3
