"""A simple loop to compare with: read a frame, run the model, write the answer, read the next one.

It speaks the same protocol and uses the service's own model and functions, so that what load.py measures beside the
service differs in nothing but the way in which frames and cameras wait for each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc
import torch
import uvloop
from google.protobuf.json_format import MessageToDict
from prometheus_client import start_http_server

from tta_service.clip.load import load
from tta_service.core.evidence import Evidence
from tta_service.core.labels import LabelSet, TextSpace
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded
from tta_service.core.strategy import Strategy
from tta_service.images.decode import decode
from tta_service.images.views import look
from tta_service.reducers import catalogue as reducers
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceServicer, add_AdaptationServiceServicer_to_server
from tta_service.strategies import catalogue as strategies
from tta_service.wire.v1 import tta_pb2 as pb

CLIP, EXACT = load(), Reduction(reducers.build("none"))
MODEL = ThreadPoolExecutor(1)  # one caller at a time, as a shared model is usually guarded


@dataclass(slots=True)
class Stream:
    """One stream."""

    strategy: Strategy[Any]
    text: TextSpace
    memory: Any

    def answer(self, frame: pb.Frame, began: float) -> pb.FrameAnswer:
        """In the thread of the model."""
        laps = [time.monotonic()]
        needs = self.strategy.needs()
        pixels = decode(Encoded(frame.image.encoded))
        laps.append(time.monotonic())
        views = look(pixels, CLIP.image_size, needs.views, frame.frame_id, needs.augment).pixels
        laps.append(time.monotonic())
        features = CLIP.encode_image(views, EXACT)
        laps.append(time.monotonic())
        with torch.set_grad_enabled(needs.gradient):
            logits, self.memory = self.strategy.adapt(Evidence(features, self.text), self.memory)
        laps.append(time.monotonic())
        spent = dict(zip(("decode", "look", "encode", "adapt"), (b - a for a, b in pairwise(laps))))
        timings = pb.Timings(**spent, queue=laps[0] - began, total=laps[-1] - began)
        best = int(logits.argmax())
        top = pb.Score(index=best, label=self.text.labels.names[best], logit=float(logits[best]))
        response = pb.ClassifyResponse(top=[top], timings=timings, batch_rows=len(views), views=len(views))
        return pb.FrameAnswer(frame_id=frame.frame_id, capture_time=frame.capture_time, response=response)


def open_stream(first: pb.OpenStream) -> Stream:
    chosen = first.options.strategy
    strategy = strategies.build(chosen.name or "zero_shot", MessageToDict(chosen.parameters))
    text = CLIP.text_space(LabelSet(tuple(first.labels.label_set.names)))
    return Stream(strategy, text, strategy.begin(text))


class Naive(AdaptationServiceServicer):
    async def ClassifyStream(
        self, request_iterator: AsyncIterator[pb.ClassifyStreamRequest], context: Any
    ) -> AsyncIterator[pb.ClassifyStreamResponse]:
        loop, stream = asyncio.get_running_loop(), None
        async for message in request_iterator:
            if stream is None:
                stream = await loop.run_in_executor(MODEL, open_stream, message.open)
                yield pb.ClassifyStreamResponse(status=pb.StreamStatus())
            else:
                answer = await loop.run_in_executor(MODEL, stream.answer, message.frame, time.monotonic())
                yield pb.ClassifyStreamResponse(answer=answer)


async def serve() -> None:
    server = grpc.aio.server()
    add_AdaptationServiceServicer_to_server(Naive(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    metrics, _ = start_http_server(0, "127.0.0.1")
    print(f"SERVING grpc=127.0.0.1:{port} metrics=http://127.0.0.1:{metrics.server_port}/metrics", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
