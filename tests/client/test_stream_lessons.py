"""Lessons inside streams, against services with the pocket model: in order with the frames, and never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import numpy as np
import pytest
from tta_client import AsyncClient, Choice, Client, FrameAnswer, LessonResult, Reconnect, TTAClientError
from tta_client.types.requests import Policy

from tests.client.services import start_process
from tests.patience import PATIENCE

LABELS = ["red thing", "green thing", "blue thing"]
SURE = Choice("tip_adapter", {"alpha": 100.0})  # one lesson decides
NUMBERS = count()


def picture(seed: int = 0, red: int = 200) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-20, 20, (64, 64, 3))
    return np.clip(np.array([red, 40, 40]) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def client(service: str) -> Iterator[Client]:
    with Client(service, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def session() -> str:
    return f"streamed-{next(NUMBERS)}"


def other(label: str) -> str:
    return next(name for name in LABELS if name != label)


def drain(camera: Queue[Any]) -> Iterator[Any]:
    """Its pictures, up to a None."""
    while (item := camera.get()) is not None:
        yield item


def test_frames_after_a_lesson_are_answered_with_it(client: Client, session: str) -> None:
    taught = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        yield picture()
        assert taught.wait(PATIENCE)
        yield picture()

    stream = client.stream(camera(), LABELS, SURE, session=session, in_flight=1)
    labels = list[str]()
    for result in stream:
        assert isinstance(result, FrameAnswer)
        labels.append(result.answer.label)
        if result.frame_id == 1:
            lesson = stream.teach(frame=1, label=other(result.answer.label))
            taught.set()  # the next frame comes after the lesson, which may still be learnt
            told = lesson.result(PATIENCE)
            assert told.learnt_by == ("tip_adapter",) and not told.replaced
    assert labels[1] == other(labels[0])
    assert [(lesson.frame_id, lesson.label) for lesson in client.lessons(session)] == [(1, labels[1])]


@pytest.mark.parametrize("policy", ["block", "latest", "drop_newest"])
def test_every_frame_is_taught_although_nobody_waits(client: Client, session: str, policy: Policy) -> None:
    stream = client.stream([picture(n) for n in range(30)], LABELS, SURE, session=session, policy=policy, paced=False)
    told = [(result.frame_id, stream.teach(frame=result.frame_id, label="blue thing")) for result in stream]
    assert all(lesson.done() for _, lesson in told)  # also the last one, for which the stream goes on
    assert [lesson.frame_id for lesson in client.lessons(session)] == [number for number, _ in told]
    assert not stream.statistics.reconnects and len(told) == stream.statistics.answers


@pytest.mark.slow
def test_many_lessons_are_waited_for_while_frames_wait_for_their_reader(client: Client, session: str) -> None:
    stream = client.stream([picture(n) for n in range(30)], LABELS, SURE, session=session, in_flight=20)
    numbers = list[int]()
    for result in stream:
        numbers.append(result.frame_id)
        if len(numbers) == 5:
            told = [stream.teach(image=picture(n, red=40), label="green thing") for n in range(100)]
            assert len({lesson.result(PATIENCE).example_id for lesson in told}) == 100
    assert numbers == list(range(1, 31)) and len(client.lessons(session)) == 100


def test_a_lesson_does_not_wait_for_a_camera_that_gives_nothing(client: Client, session: str) -> None:
    camera: Queue[Any] = Queue()
    camera.put(picture())
    with client.stream(drain(camera), LABELS, SURE, session=session, policy="latest") as stream:
        result = next(iter(stream))
        assert stream.teach(frame=result.frame_id, label=None).result(PATIENCE).example_id
        camera.put(None)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"frame": 99, "label": LABELS[0]}, "NOT_FOUND", "lesson.frame_id"),
        ({"frame": 1, "label": "a bird"}, "INVALID_ARGUMENT", "lesson.label"),
        ({"image": b"no picture", "label": LABELS[0]}, "INVALID_ARGUMENT", "lesson.image.encoded"),
        ({"image": picture(), "labels": ["a", "b"], "label": LABELS[0]}, "INVALID_ARGUMENT", "lesson.label"),
        ({"image": picture(), "labels": ["a", "a"], "label": "a"}, "INVALID_ARGUMENT", "labels.label_set.names[1]"),
        ({"label": LABELS[0]}, "INVALID_ARGUMENT", "lesson"),
        ({"frame": -1, "label": LABELS[0]}, "INVALID_ARGUMENT", "frame"),
        ({"frame": 1, "label": 7}, "INVALID_ARGUMENT", "label"),
    ],
    ids=["frame", "label", "picture", "own labels", "labels", "nothing", "negative", "number"],
)
def test_a_refused_lesson_raises_its_error_and_the_stream_goes_on(
    client: Client, session: str, given: dict[str, Any], code: str, field: str
) -> None:
    stream = client.stream([picture(), picture()], LABELS, SURE, session=session, in_flight=1)
    for result in stream:
        if result.frame_id == 1:
            with pytest.raises(TTAClientError) as error:
                stream.teach(**given).result(PATIENCE)
            assert (error.value.code.name, error.value.field) == (code, field)
    assert stream.statistics.answers == 2 and client.lessons(session) == []


def test_the_asyncio_stream_teaches_too(service: str, session: str) -> None:
    async def run() -> list[str]:
        labels = list[str]()
        async with AsyncClient(service, timeout=PATIENCE) as client:
            stream = client.stream([picture(), picture()], LABELS, SURE, session=session, in_flight=1)
            async for result in stream:
                assert isinstance(result, FrameAnswer)
                labels.append(result.answer.label)
                if result.frame_id == 1:
                    told = await stream.teach(frame=1, label=other(labels[0]))
                    assert isinstance(told, LessonResult)
                    with pytest.raises(TTAClientError):
                        await stream.teach(frame=7, label=other(labels[0]))
        return labels

    before, after = asyncio.run(asyncio.wait_for(run(), PATIENCE))
    assert after == other(before)


def test_a_lesson_that_comes_when_all_is_over_is_not_lost_silently(client: Client, session: str) -> None:
    stream = client.stream([picture()], LABELS, SURE)  # whose session ends with it
    late = [stream.teach(frame=result.frame_id, label=LABELS[0]) for result in stream]
    with pytest.raises(TTAClientError, match="name the session"):
        late[0].result(PATIENCE)
    with pytest.raises(TTAClientError, match="closed"):
        stream.teach(frame=1, label=LABELS[0]).result(PATIENCE)
    never_begun = client.stream([picture()], LABELS, SURE, session=session)
    waiting = never_begun.teach(frame=1, label=LABELS[0])
    never_begun.close()
    with pytest.raises(TTAClientError, match="closed"):
        waiting.result(PATIENCE)


def test_a_client_teaches_a_session_whose_stream_is_open(client: Client, session: str) -> None:
    labels, taught = list[str](), threading.Event()

    def camera() -> Iterator[np.ndarray]:
        yield picture()
        taught.wait(PATIENCE)
        yield picture()

    for result in client.stream(camera(), LABELS, SURE, session=session):
        assert isinstance(result, FrameAnswer)
        labels.append(result.answer.label)
        if result.frame_id == 1:
            client.teach(session, frame=1, label=other(labels[0]))
            taught.set()
    assert labels[1] == other(labels[0])


@pytest.mark.slow
def test_lessons_survive_a_server_that_is_killed(tmp_path: Path, session: str) -> None:
    """One is learnt before the kill, one is given while there is no server, one by a call after the restart."""
    settings = {"sessions__store": str(tmp_path), "sessions__secret": "x" * 32}
    frames, restarted = Queue[Any](), list[LessonResult]()
    frames.put(picture())
    again = Reconnect(shortest=0.05, longest=0.2)
    with start_process(**settings) as (server, address), Client(address, timeout=PATIENCE) as client:
        stream = client.stream(drain(frames), LABELS, SURE, session=session, reconnect=again)
        results = iter(stream)
        first = next(results)
        assert isinstance(first, FrameAnswer)
        wanted = other(first.answer.label)
        told = stream.teach(frame=1, label=wanted).result(PATIENCE)
        server.kill()
        server.wait()

        def teach() -> None:
            restarted.append(stream.teach(image=picture(9, red=0), label="green thing").result(PATIENCE))

        waiting = threading.Thread(target=teach)
        waiting.start()
        with start_process(server__port=int(address.rpartition(":")[2]), **settings):
            waiting.join(PATIENCE)
            assert len(restarted) == 1 and not restarted[0].replaced
            assert client.teach(session, example=told.example_id, label=wanted).replaced
            with pytest.raises(TTAClientError) as error:  # what the session remembers of frames is not stored
                stream.teach(frame=1, label=wanted).result(PATIENCE)
            assert error.value.code is grpc.StatusCode.NOT_FOUND
            client.teach(session, image=picture(8, red=0), labels=LABELS, label="green thing")
            frames.put(picture())
            second = next(results)
            assert isinstance(second, FrameAnswer)
            assert second.answer.label == wanted and second.answer.session.session_id == session
            assert [lesson.label for lesson in client.lessons(session)] == [wanted, "green thing", "green thing"]
            frames.put(None)
            assert list(results) == []
