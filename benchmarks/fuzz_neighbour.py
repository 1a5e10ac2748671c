"""A healthy neighbour of fuzz.py and soak.py: pictures again and again, whose answers must be those of before."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from hostile_pictures import picture

from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

FRAMES = 4
ROUNDING = 2e-3  # of logits, which are up to 100
TOLERATED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)  # no room for its session, no store
STRATEGIES = ("zero_shot", "tda", "dota")


class Neighbour:
    """Rounds of a few frames in fresh sessions, of a strategy that keeps nothing and two that learn."""

    def __init__(self, address: str, every: float = 0.05, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub, self._every, self._metadata = AdaptationServiceStub(self._channel), every, metadata
        self._pictures = [picture(seed) for seed in range(FRAMES)]
        self._alone: dict[str, list[float]] = {}
        self.calls, self.wrong = 0, list[str]()

    async def round(self, strategy: str, session: str) -> list[float]:
        """The logits of all answers."""
        logits = list[float]()
        for image in self._pictures:
            ask = pb.ClassifyRequest(image=pb.Image(encoded=image), session_id=session)
            ask.labels.label_set.names.extend(["cat", "dog", "car", "house"])
            ask.options.strategy.name = strategy
            ask.options.top_k = 4
            reply = await self._stub.Classify(ask, metadata=self._metadata, timeout=60)
            self.calls += 1
            logits += [one.logit for one in sorted(reply.top, key=lambda one: one.index)]
            await asyncio.sleep(self._every)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._stub.CloseSession(pb.CloseSessionRequest(session_id=session), metadata=self._metadata)
        return logits

    async def run(self) -> None:
        """Until cancelled."""
        for number in itertools.count():
            strategy = STRATEGIES[number % len(STRATEGIES)]
            try:
                found = await self.round(strategy, f"neighbour-{number}")
            except grpc.aio.AioRpcError as error:
                if error.code() not in TOLERATED:
                    self.wrong.append(f"{strategy}: {error.code().name} {error.details()}")
                continue
            alone = self._alone[strategy]
            if len(found) != len(alone) or any(
                abs(one - two) > ROUNDING * max(1.0, abs(two)) for one, two in zip(found, alone)
            ):
                self.wrong.append(f"{strategy}: {found[:4]} in place of {alone[:4]}")

    async def learn(self) -> None:
        """What the answers are while it is alone."""
        for strategy in STRATEGIES:
            self._alone[strategy] = await self.round(strategy, f"alone-{strategy}")

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def neighbour_of(
    address: str, every: float = 0.05, metadata: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[Neighbour]:
    """Beside the block, after it was alone there."""
    neighbour = Neighbour(address, every, metadata)
    await neighbour.learn()
    task = asyncio.create_task(neighbour.run())
    try:
        yield neighbour
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await neighbour.close()
