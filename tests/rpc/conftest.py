"""A real server on a free port with a real engine over a small CLIP, and a real channel to it."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.protobuf import struct_pb2
from PIL import Image

from tests.patience import PATIENCE
from tta_service.app.parts import Runtime, connect_parts
from tta_service.app.ports import make_uploads
from tta_service.app.server import make_service
from tta_service.app.server_info import make_server_info
from tta_service.core import catalogue
from tta_service.core.events import Event
from tta_service.core.reducer import Reduction
from tta_service.methods.service import AdaptationService
from tta_service.methods.uploads import UploadBudget
from tta_service.rpc.server import Server
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.serving.admission.controller import AdmissionController
from tta_service.serving.batching.device_health import DeviceHealth
from tta_service.serving.concurrency import make_executors
from tta_service.serving.costs.model import CostModel
from tta_service.serving.persistence.stores.base import Store
from tta_service.serving.pipeline.resources import Decode
from tta_service.serving.sessions import sessions as serving
from tta_service.settings import Limits, Sessions, Settings
from tta_service.testing import FakeCLIP
from tta_service.wire.identity import Identity
from tta_service.wire.oip.limits import OipLimits
from tta_service.wire.v1 import tta_pb2 as pb

NONE = Reduction(catalogue.reducers.build("none"))
LABELS = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog", "car"]))


@dataclass
class Harness:
    """A server and the parts behind it."""

    server: Server
    service: AdaptationService
    parts: Runtime
    port: int
    channel: grpc.aio.Channel
    events: list[Event]
    uploads: UploadBudget

    @property
    def stub(self) -> AdaptationServiceStub:
        return AdaptationServiceStub(self.channel)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def open_harness(
    clip: Any = None,
    warm: bool = True,
    canary: bool = False,
    admission: AdmissionController | None = None,
    identity: Identity | None = None,
    registry: serving.Sessions | None = None,
    store: Store | None = None,
    sessions: Mapping[str, Any] | None = None,
    oip: OipLimits | None = None,
    decode: Decode | None = None,
    **limits: Any,
) -> AsyncIterator[Harness]:
    """`limits` and `sessions` are settings of those sections; a `registry` has limits and clocks of its own."""
    clip, events, lanes = clip or FakeCLIP(), list[Event](), make_executors(prepare=1, adapt=1, cores=1)
    settings = Settings(
        limits=Limits(**limits), sessions=Sessions(**{"secret": "a secret for tests", **(sessions or {})})
    )
    health = DeviceHealth(
        lambda serving, _reason: server.health.set_serving(serving), patience=0.3, canary_every=0.1, tick=0.02
    )
    given: dict[str, Any] = {"health": health, "admission": admission, "sessions": registry, "store": store}
    given["decode"] = decode
    parts = connect_parts(settings, clip, lanes, CostModel(64), events.append, **given)
    service = make_service(parts, make_server_info(settings, clip), events.append)
    uploads = make_uploads(settings)
    server = Server(
        service,
        message_bytes=settings.limits.message_bytes,
        observe=events.append,
        identity=identity,
        uploads=uploads,
        oip=oip or OipLimits(),
    )
    tasks = [asyncio.create_task(parts.batcher.run())]
    port = await server.start()
    if warm:
        health.ready(row_seconds=0.001)
    if canary:
        tasks.append(asyncio.create_task(health.run(lambda: parts.batcher.encode(blank(clip), NONE))))
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield Harness(server, service, parts, port, channel, events, uploads)
    finally:
        await channel.close()
        await server.stop(0.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lanes.close()


def blank(clip: Any) -> torch.Tensor:
    return torch.zeros(1, 3, clip.image_size, clip.image_size, dtype=torch.uint8)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with open_harness() as harness:
        yield harness


def jpeg(seed: int = 0, size: int = 48) -> bytes:
    """A JPEG of smooth random colours."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((size, size), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def question(**more: Any) -> pb.ClassifyRequest:
    """A valid request, with `more` fields replaced."""
    return pb.ClassifyRequest(**{"image": pb.Image(encoded=jpeg()), "labels": LABELS, **more})


def choice(name: str, **parameters: Any) -> pb.Choice:
    struct = struct_pb2.Struct()
    struct.update(parameters)
    return pb.Choice(name=name, parameters=struct)


def options(name: str = "", **parameters: Any) -> pb.Options:
    return pb.Options(strategy=choice(name, **parameters))


def opening(**more: Any) -> pb.ClassifyStreamRequest:
    return pb.ClassifyStreamRequest(open=pb.OpenStream(**{"labels": LABELS, **more}))


def frame(id: int, encoded: bytes | None = None, **more: Any) -> pb.ClassifyStreamRequest:
    image = {"image": pb.Image(encoded=jpeg(id) if encoded is None else encoded)}
    return pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=id, **{**image, **more}))


async def until(true: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until `true()` holds; fail after `patience` seconds."""
    async with asyncio.timeout(patience):
        while not true():  # noqa: ASYNC110 - the awaited state has no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def busy(harness: Harness) -> AsyncIterator[None]:
    """Within the block the device is occupied. The labels of `question` are encoded before."""
    await harness.stub.Classify(question())
    done = threading.Event()
    harness.parts.lanes.device.submit(done.wait)
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    finally:
        done.set()


async def code_of(call: Any) -> grpc.StatusCode:
    """The status of a call, OK after a reply."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def check_best(scores: Any, classes: Any) -> None:
    """The first class of each row, "score:index:label", is the one with the highest score."""
    for row, text in zip(scores, classes[:, 0], strict=True):
        value, index, label = text.decode().split(":")
        assert (int(index), label) == (row.argmax(), LABELS.label_set.names[row.argmax()])
        assert float(value) == pytest.approx(row.max(), abs=1e-6)
