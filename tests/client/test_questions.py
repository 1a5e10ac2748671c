"""Questions by the client: an image asks, a person answers, the service has learnt it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import grpc
import numpy as np
import pytest
from tta_client import Ask, AsyncClient, Client, Options, Question, TTAClientError

from tests.patience import PATIENCE

LABELS = ["red thing", "green thing", "blue thing"]
ASK = Options("tip_adapter", ask=True)
NUMBERS = count()


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8)


@pytest.fixture
def client(service: str) -> Iterator[Client]:
    with Client(service, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def session() -> str:
    return f"asked-{next(NUMBERS)}"


def test_a_call_asks_and_a_lesson_answers(client: Client, session: str) -> None:
    answer = client.classify(picture(1), LABELS, options=ASK, session=session, request_id="one")
    (question,) = client.questions(session)
    assert isinstance(question, Question) and answer.asked and question.example_id == answer.example_id
    assert (question.session_id, question.request_id, question.frame_id) == (session, "one", None)
    assert (question.top, question.reason, question.thumbnail) == (answer.top, "asked", b"")
    assert [info.questions for info in client.sessions() if info.session_id == session] == [1]
    client.teach(question.session_id, example=question.example_id, label="blue thing")
    assert client.questions(session, thumbnails=True) == []
    assert [lesson.label for lesson in client.lessons(session)] == ["blue thing"]


def test_the_frames_of_a_stream_ask(client: Client, session: str) -> None:
    answers = list(client.stream([picture(seed) for seed in range(3)], LABELS, options=ASK, session=session))
    questions = client.questions(session)
    assert [question.frame_id for question in questions] == [answer.frame_id for answer in answers]
    client.teach(session, frame=answers[1].frame_id, label=None)
    assert client.questions(session) == [questions[0], questions[2]]


def test_a_session_asks_by_itself_within_its_budget(client: Client, session: str) -> None:
    given = Options("taught", ask=Ask(per_hour=2))
    answers = list(client.stream([picture(seed) for seed in range(12)], LABELS, options=given, session=session))
    questions = client.questions(session)
    assert [one.example_id for one in questions] == [one.answer.example_id for one in answers if one.answer.asked]
    assert 1 <= len(questions) <= 2 and questions[0].reason == "informative"
    with pytest.raises(TTAClientError, match="-1 is not above 0 and at most 1000") as error:
        client.classify(picture(1), LABELS, options=Options(ask=Ask(-1)), session=session)
    assert error.value.field == "options.asking.per_hour"


def test_a_call_without_a_session_cannot_ask(client: Client) -> None:
    with pytest.raises(TTAClientError) as error:
        client.classify(picture(1), LABELS, options=ASK)
    assert (error.value.code, error.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "options.ask")
    with pytest.raises(TTAClientError, match="which session"):
        client.questions()
    with pytest.raises(TTAClientError, match="a session id is"):
        client.questions("no good name")


def test_the_async_client_lists_questions_too(service: str, session: str) -> None:
    async def run() -> list[Question]:
        async with AsyncClient(service, timeout=PATIENCE) as client:
            await client.classify(picture(2), LABELS, options=ASK, session=session)
            return await client.questions(session)

    (question,) = asyncio.run(run())
    assert question.session_id == session
