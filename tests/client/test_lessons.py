"""Lessons by the client, against a service with the pocket model: taught once, and the next answer is right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import count

import grpc
import numpy as np
import pytest
from tta_client import Answer, AsyncClient, Client, LessonInfo, LessonResult, TTAClientError

from tests.patience import PATIENCE

LABELS = ["red thing", "green thing", "blue thing"]
NUMBERS = count()


def picture(red: int, green: int, blue: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-20, 20, (64, 64, 3))
    return np.clip(np.array([red, green, blue]) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def client(service: str) -> Iterator[Client]:
    with Client(service, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def session() -> str:
    return f"taught-{next(NUMBERS)}"


def ask(client: Client, session: str, image: np.ndarray, request_id: str = "") -> Answer:
    return client.classify(image, LABELS, "tip_adapter", session=session, request_id=request_id)


def test_a_corrected_picture_stays_corrected(client: Client, session: str) -> None:
    odd = picture(200, 40, 40)
    first = ask(client, session, odd, "odd")
    wrong = next(name for name in LABELS if name != first.label)  # whatever it said, the person says otherwise
    before = {score.label: score.score for score in first.top}[wrong]
    told = client.teach(session, request_id="odd", label=wrong)
    assert told.learnt_by == ("tip_adapter",) and not told.replaced and not told.began_anew
    again = {score.label: score.score for score in ask(client, session, odd).top}[wrong]
    assert again > before
    assert [(lesson.label, lesson.frame_id) for lesson in client.lessons(session)] == [(wrong, None)]
    assert client.unlearn(session, told.example_id, "never") == [told.example_id]
    assert client.lessons(session) == []
    assert ask(client, session, odd).top == first.top


def test_a_frame_of_a_stream_is_taught_by_its_number(client: Client, session: str) -> None:
    images = [picture(200, 40, 40, seed) for seed in range(3)]
    numbers: list[int] = []
    for result in client.stream(images, LABELS, "tip_adapter", session=session):
        numbers.append(result.frame_id)
        client.teach(session, frame=result.frame_id, label="blue thing")
    assert [(lesson.frame_id, lesson.label) for lesson in client.lessons(session)] == [
        (number, "blue thing") for number in numbers
    ]
    assert len(numbers) == 3


def test_a_picture_is_taught_before_anything_was_seen(client: Client, session: str) -> None:
    told = client.teach(session, image=picture(40, 40, 200), labels=LABELS, label="blue thing")
    assert told.learnt_by == ()
    same = client.teach(session, image=picture(40, 40, 200), labels=LABELS, label=None)
    assert same.example_id == told.example_id and same.replaced
    (lesson,) = client.lessons(session)
    assert isinstance(lesson, LessonInfo) and lesson.label == ""


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"frame": 99, "label": "x"}, grpc.StatusCode.NOT_FOUND, "lessons[0].frame_id"),
        ({"request_id": "none", "label": "x"}, grpc.StatusCode.NOT_FOUND, "lessons[0].request_id"),
        ({"request_id": "odd", "label": "a bird"}, grpc.StatusCode.INVALID_ARGUMENT, "lessons[0].label"),
        (
            {"image": b"no picture", "labels": LABELS, "label": LABELS[0]},
            grpc.StatusCode.INVALID_ARGUMENT,
            "lessons[0].image.encoded",
        ),
        ({"image": picture(0, 0, 0), "label": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "lessons[0].labels"),
        ({"label": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "lesson"),
        ({"frame": 1, "example": "e", "label": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "lesson"),
        ({"frame": -1, "label": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "frame"),
        ({"frame": 1, "label": 7}, grpc.StatusCode.INVALID_ARGUMENT, "label"),
    ],
    ids=str,
)
def test_a_lesson_that_cannot_be_is_refused_by_its_field(
    client: Client, session: str, given: dict[str, object], code: grpc.StatusCode, field: str
) -> None:
    ask(client, session, picture(200, 40, 40), "odd")
    with pytest.raises(TTAClientError) as error:
        client.teach(session, **given)  # type: ignore[arg-type]
    assert error.value.code is code
    assert error.value.field.startswith(field)
    assert client.lessons(session) == []


def test_a_session_that_does_not_exist_has_no_lessons(client: Client) -> None:
    with pytest.raises(TTAClientError) as error:
        client.lessons("nobody")
    assert error.value.code is grpc.StatusCode.NOT_FOUND
    with pytest.raises(TTAClientError, match="which session"):
        client.teach("", frame=1, label="x")


def test_the_async_client_teaches_too(service: str, session: str) -> None:
    async def run() -> list[LessonInfo]:
        async with AsyncClient(service, timeout=PATIENCE) as client:
            await client.teach(session, image=picture(40, 200, 40), labels=LABELS, label="green thing")
            return await client.lessons(session)

    (lesson,) = asyncio.run(run())
    assert lesson.label == "green thing"


def test_lessons_go_to_another_session_as_they_are(client: Client, service: str, session: str) -> None:
    client.teach(session, image=picture(40, 40, 200), labels=LABELS, label="blue thing")
    client.teach(session, image=picture(90, 90, 90), labels=LABELS, label=None)
    exported = client.export_lessons(session)
    results = client.import_lessons(f"{session}-b", exported)
    assert [getattr(one, "replaced", None) for one in results] == [False, False]

    async def run() -> str:
        async with AsyncClient(service, timeout=PATIENCE) as client:
            await client.import_lessons(f"{session}-c", exported)
            return await client.export_lessons(f"{session}-c")

    assert client.export_lessons(f"{session}-b") == exported == asyncio.run(run())
    assert ask(client, f"{session}-b", picture(200, 40, 40)).top != ask(client, "fresh", picture(200, 40, 40)).top


def test_of_an_import_a_lesson_that_fails_fails_alone(client: Client, session: str) -> None:
    for seed in (1, 2):
        client.teach(session, image=picture(40, 40, 200, seed), labels=LABELS, label="blue thing")
    content = json.loads(client.export_lessons(session))
    content["lessons"][0]["label"] = "bird"
    wrong, right = client.import_lessons(f"{session}-b", json.dumps(content))
    assert isinstance(wrong, TTAClientError) and wrong.field == "lessons[0].label"
    assert isinstance(right, LessonResult) and not right.set_apart and not right.stored
    for text in ("", "[]", '{"lessons": [{}]}', '{"lessons": 7}'):
        with pytest.raises(TTAClientError) as error:
            client.import_lessons(session, text)
        assert error.value.field == "exported"


def test_a_group_is_taught_and_its_sessions_learn(client: Client, session: str) -> None:
    said, group = "blue thing", f"group-{session}"
    ask_in = {"session": session, "lesson_group": group}
    client.classify(picture(200, 40, 40), LABELS, "tip_adapter", **ask_in)  # type: ignore[arg-type]
    told = client.teach(group=group, image=picture(200, 40, 40), labels=LABELS, label=said)
    assert told.learnt_by == ("tip_adapter",)
    results = list(client.stream([picture(1, 2, 3)], LABELS, "tip_adapter", lesson_group=group))
    assert len(results) == 1 and [one.label for one in client.lessons(group=group)] == [said]
    assert [one.label for one in client.lessons(session)] == [said]
    assert client.unlearn("", told.example_id, group=group) == [told.example_id]
    assert client.lessons(session) == []
    with pytest.raises(TTAClientError, match="lesson group"):
        client.lessons(group="no good")
