"""A camera that speaks gRPC without the client and waits for each answer."""

from __future__ import annotations

import io
from typing import Any

import grpc
import numpy as np
from PIL import Image

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = ["flower", "temple", "cat"]


def picture(number: int) -> bytes:
    """A JPEG; the same one for the same number."""
    colours = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def scores(response: pb.ClassifyResponse) -> dict[str, float]:
    return {score.label: score.logit for score in response.top}


class Camera:
    """A stream of the session `name` with TDA. `token` opens it elsewhere, once its server drains."""

    def __init__(self, stub: AdaptationServiceStub, name: str) -> None:
        self._call: Any = stub.ClassifyStream(metadata=(("x-session-id", name),))
        self._name, self.token = name, b""

    async def open(self, token: bytes = b"") -> pb.SessionStatus:
        opening = pb.OpenStream(session_id=self._name, resume_token=token, policy=pb.OpenStream.POLICY_BLOCK)
        opening.labels.label_set.names.extend(NAMES)
        opening.options.strategy.name = "tda"
        opening.options.strategy.parameters["views"] = 2
        await self._call.write(pb.ClassifyStreamRequest(open=opening))
        return (await self._next("status")).status.session

    async def frame(self, number: int) -> pb.ClassifyResponse:
        """The answer to `picture(number)`. Raises AioRpcError when the stream ends instead."""
        await self.send(number)
        return await self.answer()

    async def send(self, number: int) -> None:
        frame = pb.Frame(frame_id=number, image=pb.Image(encoded=picture(number)))
        await self._call.write(pb.ClassifyStreamRequest(frame=frame))

    async def answer(self) -> pb.ClassifyResponse:
        return (await self._next("answer")).answer.response

    async def end(self) -> None:
        """Nothing more comes from here; returns when nothing more comes from there."""
        await self._call.done_writing()
        while await self._call.read() is not grpc.aio.EOF:
            pass

    async def _next(self, kind: str) -> pb.ClassifyStreamResponse:
        while True:
            reply = await self._call.read()
            assert reply is not grpc.aio.EOF, "the stream has ended"
            if reply.WhichOneof("kind") == "draining":
                self.token = reply.draining.resume_token
            if reply.WhichOneof("kind") == kind:
                return reply
