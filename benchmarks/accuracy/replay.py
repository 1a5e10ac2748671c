"""Features through a running service, as a camera would send its pictures: one stream for each contender and order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

from .contenders import Contender
from .runs import Run

OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
UNDER_WAY = 4  # frames of one stream that are sent and not answered, by default


@dataclass(frozen=True)
class Take:
    """One stream to play. Where `restarts` says so a frame begins a session of its own, which knows nothing."""

    contender: Contender
    features: Callable[[int], NDArray[np.float32]]  # of frame i, [v, d]
    picture: NDArray[np.int64]  # [m]
    label: NDArray[np.int64]  # [m]
    path: Path  # where the run is kept
    restarts: frozenset[int] = frozenset()
    under_way: int = UNDER_WAY


class Refused(RuntimeError):
    """The service did not answer a frame as it was asked to."""


async def play(
    address: str,
    labels: pb.LabelSet,
    fingerprint: str,
    takes: Sequence[Take],
    streams: int,
    done: Callable[[int], object],
) -> None:
    """Plays what is not kept yet, some streams at a time, and keeps it. Raises `Refused`, `grpc.RpcError`."""
    left = [take for take in takes if not take.path.exists()]
    for take in takes:
        if take.path.exists():
            done(len(take.picture))
    room = asyncio.Semaphore(streams)
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = AdaptationServiceStub(channel)
        put = await stub.PutLabelSet(pb.PutLabelSetRequest(label_set=labels), wait_for_ready=True)

        async def one(take: Take) -> None:
            async with room:
                edges = sorted({0, *take.restarts, len(take.picture)})
                parts = [
                    await _stream(stub, take, put.info.id, len(labels.names), fingerprint, range(a, b), done)
                    for a, b in pairwise(edges)
                ]
                _join(parts).save(take.path)

        async with asyncio.TaskGroup() as group:
            for take in left:
                group.create_task(one(take))


async def _stream(
    stub: AdaptationServiceStub,
    take: Take,
    id: str,
    classes: int,
    model: str,
    frames: range,
    done: Callable[[int], object],
) -> Run:
    room = asyncio.Semaphore(take.under_way)
    options = pb.Options(top_k=classes, seed=0, guard=False)  # strategies as they are; `guard.py` measures the guard
    options.strategy.name = take.contender.strategy
    options.strategy.parameters.update(dict(take.contender.parameters))

    async def make_requests() -> AsyncIterator[pb.ClassifyStreamRequest]:
        policy = pb.OpenStream.POLICY_BLOCK
        yield pb.ClassifyStreamRequest(open=pb.OpenStream(labels=pb.Labels(id=id), options=options, policy=policy))
        for frame in frames:
            await room.acquire()
            some = take.features(frame)
            features = pb.Features(views=len(some), dimension=some.shape[1], values=some.tobytes(), model=model)
            yield pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=frame, image=pb.Image(features=features)))

    count = len(frames)
    scores, zero_shot = np.zeros((count, classes), np.float32), np.zeros(count, np.int64)
    seconds, views, place = np.zeros(count, np.float32), np.zeros(count, np.int64), 0
    async for reply in stub.ClassifyStream(make_requests()):
        kind = reply.WhichOneof("kind")
        if kind == "error":
            raise Refused(f"{take.contender}, frame {reply.error.frame_id}: {reply.error.status.message}")
        if kind != "answer":
            continue
        answer, frame_id = reply.answer.response, reply.answer.frame_id
        if frame_id != frames[place] or answer.HasField("degraded"):
            raise Refused(f"{take.contender}, frame {frame_id}: out of order, or less was done than asked")
        scores[place, [score.index for score in answer.top]] = [score.score for score in answer.top]
        zero_shot[place], seconds[place] = answer.zero_shot[0].index, answer.timings.adapt
        views[place], place = answer.views, place + 1
        room.release()
        done(1)
    if place != count:
        raise Refused(f"{take.contender}: {place} answers to {count} frames")
    some = slice(frames.start, frames.stop)
    return Run(take.picture[some], take.label[some], scores, zero_shot, seconds, views)


def _join(parts: Sequence[Run]) -> Run:
    return Run(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Run.__dataclass_fields__})
