"""Sessions of a fleet that see the same pictures, so that their answers show whether a memory lacks a frame."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from tta_client import Answer, Choice, FrameAnswer, Options, TTAClientError
from tta_client.aio.client import AsyncClient
from tta_client.types.frames import Frame

from tests.deploy.camera import NAMES as LABELS
from tests.deploy.camera import Camera, picture, scores
from tests.deploy.fleet import AT_MOST, BETWEEN, Fleet
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub

SESSIONS = [f"cam-{number}" for number in range(1, 9)]
TDA = Choice("tda", {"views": 2})
PAUSE = 0.5  # seconds between two calls of a session, and two frames of a stream
REFUSED = (grpc.StatusCode.UNAVAILABLE,)


class Traffic:
    """All sessions see the same pictures one after the other: at the same picture their answers must agree."""

    def __init__(self, at: Fleet, client: AsyncClient, stub: AdaptationServiceStub) -> None:
        self.fleet, self.client, self.stub = at, client, stub
        self.frames = dict.fromkeys(SESSIONS, 0)
        self.latest: dict[str, dict[str, float]] = {}
        self.busy, self.refused = set[str](), Counter[str]()

    async def step(self, name: str, through: AsyncClient | None = None) -> str:
        """One call of a session, which must have counted all calls before. Returns its origin."""
        number = self.frames[name] + 1
        options = Options(TDA, seed=number)  # as a stream's frame of that number has it
        answer = await (through or self.client).classify(picture(number), LABELS, options=options, session=name)
        self._note(name, number, answer)
        return answer.session.origin

    @asynccontextmanager
    async def keep_going(self, calling: list[str], watching: list[str]) -> AsyncIterator[None]:
        """Calls of the sessions `calling` and a stream of each that is `watching`, until the block's end."""
        self._ending = asyncio.Event()
        async with asyncio.TaskGroup() as busy:
            for name in calling:
                busy.create_task(self._call(name))
            for name in watching:
                busy.create_task(self._watch(name))
            yield
            self._ending.set()

    async def until_all_go_on(self) -> None:
        """Returns when each session that has calls or a stream has had answers since."""
        before = dict(self.frames)
        async with asyncio.timeout(AT_MOST):
            while any(self.frames[name] < before[name] + 2 for name in self.busy):  # noqa: ASYNC110
                await asyncio.sleep(BETWEEN)

    async def _call(self, name: str) -> None:
        self.busy.add(name)
        while not self._ending.is_set():
            try:
                await self.step(name)
            except TTAClientError as error:
                assert error.code in REFUSED, error  # nothing was done
                self.refused[name] += 1
            await asyncio.sleep(PAUSE)

    async def _watch(self, name: str) -> None:
        self.busy.add(name)

        async def frames() -> AsyncIterator[Frame]:
            number = self.frames[name]
            while not self._ending.is_set():
                number += 1
                yield Frame(number, picture(number))
                await asyncio.sleep(PAUSE)

        async with self.client.stream(frames(), LABELS, options=Options(TDA), session=name, in_flight=1) as stream:
            async for result in stream:
                assert isinstance(result, FrameAnswer), result
                self._note(name, result.frame_id, result.answer)

    def _note(self, name: str, number: int, answer: Answer) -> None:
        assert number == answer.session.frames == self.frames[name] + 1, (name, number, answer.session, self.frames)
        self.frames[name], self.latest[name] = number, {score.label: score.logit for score in answer.top}

    async def open(self, name: str) -> Camera:
        camera = Camera(self.stub, name)
        assert (await camera.open()).frames == self.frames[name]
        return camera

    async def frame(self, name: str, camera: Camera) -> None:
        """The same as a frame of a stream."""
        number = self.frames[name] + 1
        answer = await camera.frame(number)
        assert answer.session.frames == number, name
        self.frames[name], self.latest[name] = number, scores(answer)

    async def together(self) -> None:
        """Every session that has frames is brought to the same picture and gives the same answer."""
        last, begun = max(self.frames.values()) + 1, [name for name in SESSIONS if self.frames[name]]
        for name in begun:
            while self.frames[name] < last:
                await self.step(name)
        for name in begun:
            assert self.latest[name] == pytest.approx(self.latest[begun[0]], abs=1e-3), name

    async def takeovers(self) -> dict[str, int]:
        """How often each session has moved."""
        return {name: (await self.client.session(name)).epoch - 1 for name in SESSIONS if self.frames[name]}
