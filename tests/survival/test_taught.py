"""Lessons outlive servers: killed, overtaken, and with a store that does not answer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.patience import PATIENCE
from tests.redis_server import redis_server
from tests.survival.cameras import LABELS, NAMES, SECRET, Camera, knobs, picture, process, start_service
from tta_service.app import Application
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

TEACHABLE = ("taught", "gda", "tip_adapter", "tda", "dota")


@asynccontextmanager
async def run_model(store: Path, clip: FakeCLIP | None = None) -> AsyncIterator[AdaptationServiceStub]:
    settings = load(knobs(store, sessions__thumbnails=48) | {"sessions.secret": SECRET})
    async with (
        Application(settings, clip or FakeCLIP()) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        yield AdaptationServiceStub(channel)


async def classify(stub: AdaptationServiceStub, strategy: str, number: int) -> list[float]:
    options = pb.Options(strategy=pb.Choice(name=strategy), top_k=len(NAMES))
    request = pb.ClassifyRequest(
        image=pb.Image(encoded=picture(number)), labels=LABELS, options=options, session_id=strategy
    )
    answer = await stub.Classify(request)
    assert answer.strategy.name == strategy
    return [score.logit for score in sorted(answer.top, key=lambda score: score.index)]


async def teach(stub: AdaptationServiceStub, session: str, *numbers: int) -> list[pb.LessonResult]:
    lessons = [
        pb.Lesson(image=pb.Image(encoded=picture(one)), labels=LABELS, label=NAMES[one % len(NAMES)]) for one in numbers
    ]
    reply = await stub.TeachSession(pb.TeachSessionRequest(session_id=session, lessons=lessons))
    assert not any(result.HasField("status") for result in reply.results)
    return list(reply.results)


async def see_and_learn(stub: AdaptationServiceStub) -> None:
    for strategy in TEACHABLE:
        for number in range(3):
            await classify(stub, strategy, number)
        assert all(result.stored for result in await teach(stub, strategy, *range(3, 9)))


async def answers(service: Application, stub: AdaptationServiceStub) -> dict[str, list[list[float]]]:
    """Of frames after all pending fits."""
    for strategy in TEACHABLE:
        listed = await stub.ListLessons(pb.ListLessonsRequest(session_id=strategy))
        assert len(listed.lessons) == 6
    await service.runtime.fitter.wait()
    return {strategy: [await classify(stub, strategy, number) for number in (3, 20, 21)] for strategy in TEACHABLE}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "redis"])
async def test_a_taught_session_of_a_killed_server_answers_bit_for_bit_elsewhere(kind: str, tmp_path: Path) -> None:
    store: AbstractContextManager[Any] = redis_server() if kind == "redis" else nullcontext(tmp_path / "store")
    with store as where:
        async with process(where) as (server, stub):
            await see_and_learn(stub)
            server.signal(signal.SIGKILL)
            assert await server.ended() == -signal.SIGKILL
        async with start_service(where) as (restored, stub):
            after = await answers(restored, stub)
    async with start_service(tmp_path / "another") as (whole, stub):
        await see_and_learn(stub)
        expected = await answers(whole, stub)
        plain = await classify(stub, "zero_shot", 3)
    assert after == expected
    assert all(expected[strategy][0] != plain for strategy in TEACHABLE)


async def test_no_lesson_that_was_acknowledged_is_lost_when_another_server_takes_over(tmp_path: Path) -> None:
    async with run_model(tmp_path) as one, run_model(tmp_path) as two:
        known, over = set[str](), asyncio.Event()

        async def keep_teaching() -> None:
            for number in range(20):
                try:
                    (result,) = await teach(one, "door", number)
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, error
                    continue
                assert result.stored
                known.add(result.example_id)
            over.set()

        teaching = asyncio.create_task(keep_teaching())
        while len(known) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        while not over.is_set():
            camera = Camera(two)
            await camera.open(session_id="door")
            await camera.frame(1)
            await camera.end()
            await asyncio.sleep(0.01)
        await teaching
        listed = await two.ListLessons(pb.ListLessonsRequest(session_id="door", page_size=1000))
        assert len(known) > 3 and known <= {lesson.example_id for lesson in listed.lessons}


async def test_a_reply_says_whether_the_store_has_the_lesson(tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with run_model(store) as stub:
        (first,) = await teach(stub, "door", 1)
        elsewhere = store.rename(tmp_path / "elsewhere")
        (second,) = await teach(stub, "door", 2)
        gone = await stub.Unlearn(pb.UnlearnRequest(session_id="door", example_ids=[first.example_id]))
        camera = Camera(stub)
        elsewhere.rename(store)
        assert (first.stored, second.stored, gone.stored) == (True, False, False)
        await camera.open(session_id="door")
        lesson = pb.Lesson(image=pb.Image(encoded=picture(3)), label="cat")
        async with asyncio.timeout(PATIENCE):  # a store that was gone is asked again a second later
            stored = False
            while not stored:
                await camera.call.write(pb.ClassifyStreamRequest(lesson=lesson))
                while (reply := await camera.read()) is not None and reply.WhichOneof("kind") != "lesson":
                    pass
                assert reply
                stored = reply.lesson.stored
        await camera.end()
    async with run_model(store) as stub:
        listed = await stub.ListLessons(pb.ListLessonsRequest(session_id="door"))
        assert [lesson.example_id for lesson in listed.lessons] == [second.example_id, reply.lesson.example_id]


async def test_a_stored_session_goes_to_a_server_with_another_model_and_back(tmp_path: Path) -> None:
    old, new = FakeCLIP(), FakeCLIP(dimension=32, seed=1)
    async with run_model(tmp_path, old) as stub:
        for number in range(3):
            await classify(stub, "taught", number)
        await teach(stub, "taught", 3, 4)
        values = np.eye(1, 64, dtype="<f4").tobytes()
        features = pb.Image(features=pb.Features(views=1, dimension=64, values=values, model=old.fingerprint))
        lesson = pb.Lesson(image=features, labels=LABELS, label="cat")  # which leaves no thumbnail
        await stub.TeachSession(pb.TeachSessionRequest(session_id="taught", lessons=[lesson]))
    for clip, apart in ((new, [False, False, True]), (old, [False, False, False])):
        async with run_model(tmp_path, clip) as stub:
            camera = Camera(stub)
            status = await camera.open("taught", session_id="taught")
            assert (status.frames, status.lessons_set_apart) == (3, sum(apart)) if clip is new else status.frames == 4
            first = (await camera.frame(9)).response.session
            assert first.memory_reset and first.lessons_set_apart == sum(apart)
            listed = await stub.ListLessons(pb.ListLessonsRequest(session_id="taught", recorded=True))
            assert [one.set_apart for one in listed.lessons] == apart
            dimensions = {True: 64, False: clip.dimension}
            assert [one.recorded.features.dimension for one in listed.lessons] == [dimensions[one] for one in apart]
            await camera.end()
