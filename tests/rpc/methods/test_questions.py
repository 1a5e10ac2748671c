"""Asked by a call or a frame, listed, answered by a lesson: questions through gRPC."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from tests.redis_server import redis_server
from tests.rpc.conftest import LABELS, Harness, choice, frame, jpeg, open_harness, opening, options, question
from tta_service.core.labels import LabelSet
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.serving.sessions.sessions import Sessions
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

ASK = pb.Options(strategy=choice("tip_adapter"), ask=True)


async def ask(stub: AdaptationServiceStub, seed: int = 0, session: str = "gate", **more: Any) -> pb.ClassifyResponse:
    image = pb.Image(encoded=jpeg(seed))
    return await stub.Classify(question(**{"image": image, "session_id": session, "options": ASK, **more}))


async def waiting(stub: AdaptationServiceStub, session: str = "gate", **more: Any) -> list[pb.Question]:
    return list((await stub.ListQuestions(pb.ListQuestionsRequest(session_id=session, **more))).questions)


async def teach(stub: AdaptationServiceStub, session: str = "gate", **lesson: Any) -> pb.LessonResult:
    request = pb.TeachSessionRequest(session_id=session, lessons=[pb.Lesson(**lesson)])
    (result,) = (await stub.TeachSession(request)).results
    assert not result.HasField("status"), result.status.message
    return result


def score(answer: pb.ClassifyResponse | pb.Question, label: str) -> float:
    return {one.label: one.score for one in answer.top}[label]


async def test_a_question_waits_until_a_lesson_answers_it_and_the_memory_has_learnt_it(harness: Harness) -> None:
    stub = harness.stub
    first = await ask(stub, 1, request_id="one")
    assert first.asked and first.example_id
    plain = await ask(stub, 2, options=options("tip_adapter"))
    assert not plain.asked and plain.example_id not in ("", first.example_id)
    (asked,) = await waiting(stub)
    assert (asked.example_id, asked.session_id, asked.request_id) == (first.example_id, "gate", "one")
    assert not asked.HasField("frame_id") and asked.reason == pb.Question.REASON_ASKED and not asked.thumbnail
    assert list(asked.top) == list(first.top) and asked.label_set_id == first.label_set_id
    assert abs(asked.seen.ToNanoseconds() / 1e9 - time.time()) < 600
    assert (await stub.GetSession(pb.GetSessionRequest(session_id="gate"))).session.questions == 1
    told = await teach(stub, example_id=asked.example_id, label="car")
    assert told.learnt_by == ["tip_adapter"] and not told.replaced
    assert await waiting(stub) == []
    assert score(await ask(stub, 1), "car") > score(first, "car")


@pytest.mark.parametrize("reference", ["frame_id", "example_id"])
async def test_frames_ask_by_the_options_of_their_stream_or_their_own(harness: Harness, reference: str) -> None:
    async def frames() -> Any:
        yield opening(session_id="gate", options=ASK, policy=pb.OpenStream.POLICY_BLOCK)
        yield frame(1)
        yield frame(2, options=options("tip_adapter"))
        yield frame(3)

    replies = [reply async for reply in harness.stub.ClassifyStream(frames())]
    answers = [reply.answer for reply in replies if reply.HasField("answer")]
    assert [(answer.frame_id, answer.response.asked) for answer in answers] == [(1, True), (2, False), (3, True)]
    asked = await waiting(harness.stub)
    assert [one.frame_id for one in asked] == [1, 3]
    await teach(harness.stub, label="dog", **{reference: getattr(asked[0], reference)})
    assert [one.frame_id for one in await waiting(harness.stub)] == [3]
    await teach(harness.stub, none_of_these=True, **{reference: getattr(asked[1], reference)})
    assert await waiting(harness.stub) == []


async def test_a_question_outlives_the_recent_frames() -> None:
    async with open_harness(sessions={"recent": 2}) as harness:
        await ask(harness.stub, 1, request_id="one")
        for seed in range(2, 6):
            await ask(harness.stub, seed, options=options("tip_adapter"))
        await teach(harness.stub, request_id="one", label="dog")
        assert await waiting(harness.stub) == []


async def test_a_group_has_the_questions_of_its_sessions_and_may_answer_them(harness: Harness) -> None:
    belt: dict[str, Any] = {"lesson_group": "belt"}
    stub = harness.stub
    for seed, session in enumerate(("one", "two")):
        await ask(stub, seed, session, **belt)
    await ask(stub, 9, "other", lesson_group="other")
    listed = list((await stub.ListQuestions(pb.ListQuestionsRequest(**belt))).questions)
    assert [question.session_id for question in listed] == ["one", "two"]
    await teach(stub, "one", example_id=listed[0].example_id, label="car")
    assert await waiting(stub, "one") == [] and await waiting(stub, "two") == listed[1:]
    request = pb.TeachSessionRequest(**belt, lessons=[pb.Lesson(example_id=listed[1].example_id, label="dog")])
    (told,) = (await stub.TeachSession(request)).results
    assert told.learnt_by == ["tip_adapter"]
    assert not (await stub.ListQuestions(pb.ListQuestionsRequest(**belt))).questions
    assert len(await waiting(stub, "other")) == 1
    with pytest.raises(grpc.aio.AioRpcError, match="no lesson group"):
        await stub.ListQuestions(pb.ListQuestionsRequest(lesson_group="nobody"))


async def test_a_stream_without_a_name_may_ask_and_is_answered_within_it(harness: Harness) -> None:
    call = harness.stub.ClassifyStream()
    await call.write(opening(options=ASK, policy=pb.OpenStream.POLICY_BLOCK))
    session = (await call.read()).status.session.session_id
    await call.write(frame(7))
    while not (reply := await call.read()).HasField("answer"):
        pass
    assert reply.answer.response.asked
    (asked,) = await waiting(harness.stub, session)
    await teach(harness.stub, session, example_id=asked.example_id, label="cat")
    assert await waiting(harness.stub, session) == []
    call.cancel()


async def test_questions_come_in_pages_with_thumbnails_for_those_who_want_them() -> None:
    async with open_harness(sessions={"thumbnails": 24}) as harness:
        stub = harness.stub
        for seed in range(3):
            await ask(stub, seed)
        info = await stub.GetServerInfo(pb.GetServerInfoRequest())
        rows = b"\0\0\x80?" * info.dimension
        features = pb.Features(views=1, dimension=info.dimension, values=rows, model=info.model_fingerprint)
        await ask(stub, image=pb.Image(features=features))
        pages, token = list[list[pb.Question]](), ""
        while not pages or token:
            request = pb.ListQuestionsRequest(session_id="gate", page_size=2, page_token=token, thumbnails=True)
            page = await stub.ListQuestions(request)
            pages.append(list(page.questions))
            token = page.next_page_token
        listed = [one for page in pages for one in page]
        assert [len(page) for page in pages] == [2, 2] and len({one.example_id for one in listed}) == 4
        assert [one.seen.ToNanoseconds() for one in listed] == sorted(one.seen.ToNanoseconds() for one in listed)
        assert [Image.open(io.BytesIO(one.thumbnail)).size for one in listed[:3]] == [(24, 24)] * 3
        assert listed[3].thumbnail == b""
        assert not any(one.thumbnail for one in await waiting(stub))


@pytest.mark.parametrize(
    ("way", "code", "sentence"),
    [
        (
            lambda stub: ask(stub, session=""),
            grpc.StatusCode.INVALID_ARGUMENT,
            "options.ask: a question waits in its session, which ends with this call: name it in session_id",
        ),
        (
            lambda stub: ask(stub, image=pb.Image(encoded=b"no picture")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "image.encoded: the image is neither a JPEG, a PNG nor a WebP file",
        ),
        (lambda stub: waiting(stub, ""), grpc.StatusCode.INVALID_ARGUMENT, "session_id: which session?"),
        (
            lambda stub: waiting(stub, "nobody"),
            grpc.StatusCode.NOT_FOUND,
            "session_id: no session 'nobody' of yours is open",
        ),
        (
            lambda stub: waiting(stub, page_token="?"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_token: this is no token of a page: take next_page_token of the page before",
        ),
    ],
    ids=["no name", "no picture", "no session", "unknown session", "bad token"],
)
async def test_what_cannot_be_asked_is_refused_by_its_field_and_harms_nobody(
    harness: Harness, way: Any, code: grpc.StatusCode, sentence: str
) -> None:
    await ask(harness.stub, 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await way(harness.stub)
    assert (refused.value.code(), refused.value.details()) == (code, sentence)
    assert len(await waiting(harness.stub)) == 1


async def test_of_too_many_questions_the_oldest_leave_and_are_counted() -> None:
    async with open_harness(sessions={"questions": 3}) as harness:
        asked = [(await ask(harness.stub, seed)).example_id for seed in range(5)]
        assert [one.example_id for one in await waiting(harness.stub)] == asked[2:]
        await teach(harness.stub, example_id=asked[2], label="dog")
        counters = harness.parts.sessions.counters
        assert (counters.questions, counters.questions_answered) == (2, 1)
        assert counters.questions_asked == {"asked": 5} and counters.questions_evicted == {"number": 2}


async def test_questions_wait_for_so_long_and_keep_their_session_for_as_long_as_lessons_would() -> None:
    day, monotonic, unix = 86400.0, 0.0, time.time()
    limits = MemoryLimits(question_age=2 * day, taught_idle=7 * day)
    registry = Sessions(300.0, limits, clock=lambda: monotonic, now=lambda: unix)
    async with open_harness(registry=registry) as harness:
        await ask(harness.stub, 1)
        await ask(harness.stub, 2, "plain", options=options("tip_adapter"))
        monotonic, unix = day, unix + day
        registry.expire()
        assert [session.id for session in registry.list("")] == ["gate"]
        unix += 2 * day
        assert await waiting(harness.stub) == []
        monotonic = 3 * day
        await ask(harness.stub, 3, options=options("tip_adapter"))
        monotonic += 300
        registry.expire()
        assert registry.list("") == ()
        assert registry.counters.questions_evicted == {"age": 1} and registry.counters.questions == 0
        assert registry.counters.bytes == 0


async def test_a_question_takes_no_room_from_lessons_and_gives_its_own_to_them() -> None:
    async with open_harness(registry=Sessions(limits=MemoryLimits(session=4000, recent=0))) as harness:
        plain, zero_shot = (
            harness.parts.sessions.registry.accounting,
            pb.Options(strategy=choice("zero_shot"), ask=True),
        )
        for seed in range(40):
            last = await ask(harness.stub, seed, options=zero_shot)
            assert last.asked and last.session.memory_bytes <= 4000
        full = harness.parts.sessions.counters
        assert full.questions > 4 and full.questions_evicted == {"bytes": 40 - full.questions}
        taught = 0
        with pytest.raises(AssertionError, match="do not fit: this session has"):
            for taught in range(100):
                await teach(harness.stub, image=pb.Image(encoded=jpeg(100 + taught)), label="dog", labels=LABELS)
        assert not await waiting(harness.stub) and taught > full.questions
        assert not (await ask(harness.stub, 200, options=zero_shot)).asked
        lessons = await harness.stub.ListLessons(pb.ListLessonsRequest(session_id="gate", page_size=1000))
        assert len(lessons.lessons) == taught
        assert plain.by_strategy.keys() == {"lessons"}


async def test_closing_a_session_gives_the_bytes_of_its_questions_back(harness: Harness) -> None:
    await ask(harness.stub, 1)
    assert harness.parts.sessions.counters.bytes_by_strategy["questions"] > 0
    await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="gate"))
    counters = harness.parts.sessions.counters
    assert (counters.bytes, counters.questions) == (0, 0) and not counters.questions_evicted


async def test_questions_go_with_a_snapshot(harness: Harness) -> None:
    for seed in range(3):
        await ask(harness.stub, seed)
    before = await waiting(harness.stub)
    snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
    await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="gate"))
    await harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))
    assert await waiting(harness.stub) == before
    await teach(harness.stub, example_id=before[1].example_id, label="dog")
    assert await waiting(harness.stub) == [before[0], before[2]]


async def test_after_a_change_of_model_the_questions_with_a_thumbnail_are_left() -> None:
    async with open_harness(FakeCLIP(seed=1), sessions={"thumbnails": 32}) as here:
        await ask(here.stub, 1)
        info = await here.stub.GetServerInfo(pb.GetServerInfoRequest())
        rows = b"\0\0\x80?" * info.dimension
        features = pb.Features(views=1, dimension=info.dimension, values=rows, model=info.model_fingerprint)
        await ask(here.stub, image=pb.Image(features=features))
        before = await waiting(here.stub, thumbnails=True)
        snapshot = (await here.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
    async with open_harness() as there:
        await there.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))
        assert len(before) == 2 and await waiting(there.stub, thumbnails=True) == before[:1]
        await teach(there.stub, example_id=before[0].example_id, label="car")
        info = (await there.stub.GetSession(pb.GetSessionRequest(session_id="gate"))).session
        assert (info.lessons, info.lessons_set_apart, info.questions) == (1, 0, 0)


@pytest.fixture(params=["folder", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path)
        return
    with redis_server() as url:
        yield url


async def test_questions_and_their_thumbnails_survive_a_restart_and_are_answered_there(store: str) -> None:
    @asynccontextmanager
    async def service() -> AsyncIterator[AdaptationServiceStub]:
        opened = await open_store(store, 3600.0)
        async with open_harness(store=opened, sessions={"thumbnails": 32}) as harness:
            yield harness.stub
            await harness.parts.persistence.save_all()  # as on SIGTERM
        await opened.close()

    async with service() as stub:
        for seed in (1, 2):
            await ask(stub, seed)
        before = await waiting(stub, thumbnails=True)
        assert len(before) == 2 and all(one.thumbnail for one in before)
    async with service() as stub:
        assert await waiting(stub, thumbnails=True) == before
        await teach(stub, example_id=before[0].example_id, label="car")
    async with service() as stub:
        assert await waiting(stub, thumbnails=True) == before[1:]
        assert score(await ask(stub, 1), "car") > score(before[0], "car")


async def test_a_collapsed_world_is_warned_of_and_asks(harness: Harness) -> None:
    text = FakeCLIP().text_space(LabelSet(tuple(LABELS.label_set.names))).features
    draw = torch.Generator().manual_seed(0)
    as_near_to_all = normalize(torch.linalg.pinv(text).sum(1), dim=-1)
    rows = normalize(as_near_to_all + 1e-3 * torch.randn(130, text.shape[1], generator=draw), dim=-1).numpy()
    features = [
        pb.Features(views=1, dimension=len(row), values=row.tobytes(), model=FakeCLIP().fingerprint) for row in rows
    ]
    answers = [
        await ask(harness.stub, image=pb.Image(features=one), options=pb.Options(guard=False)) for one in features
    ]
    assert not any(answer.warnings for answer in answers[:100])
    (warning,) = answers[-1].warnings
    assert warning.kind == pb.Warning.KIND_FEW_CLASSES and "3 classes" in warning.message
    (asked,) = await waiting(harness.stub)
    assert asked.reason == pb.Question.REASON_COLLAPSED
    assert [answer.example_id for answer in answers if answer.asked] == [asked.example_id]
    await teach(harness.stub, example_id=asked.example_id, label="car")
    assert not await waiting(harness.stub)


async def test_a_session_asks_by_itself_within_its_budget_and_not_again_about_what_was_taught(harness: Harness) -> None:
    given = pb.Options(strategy=choice("taught"), asking=pb.Asking(per_hour=3), defer_below=1.0)
    answers = [await ask(harness.stub, seed, options=given) for seed in range(40)]
    assert all(answer.confidence.decision == pb.DECISION_DEFER for answer in answers)
    asked = await waiting(harness.stub)
    assert [one.example_id for one in asked] == [answer.example_id for answer in answers if answer.asked]
    assert answers[0].asked and 1 <= len(asked) <= 3
    assert {one.reason for one in asked} <= {pb.Question.REASON_INFORMATIVE, pb.Question.REASON_UNIFORM}
    for one in asked:
        await teach(harness.stub, example_id=one.example_id, label="car")
    assert not (await ask(harness.stub, 0, options=given)).asked


async def test_a_restored_session_has_no_new_budget() -> None:
    given = pb.Options(strategy=choice("taught"), asking=pb.Asking(per_hour=2))
    async with open_harness() as one, open_harness() as other:
        for seed in range(30):
            await ask(one.stub, seed, options=given)
        before = len(await waiting(one.stub))
        snapshot = (await one.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        await other.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))
        for seed in range(30, 60):
            await ask(other.stub, seed, options=given)
        assert 1 <= before <= len(await waiting(other.stub)) <= 2


async def test_a_call_that_asks_by_itself_names_its_session(harness: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=r"options\.asking: a question waits in its session"):
        await ask(harness.stub, session="", options=pb.Options(asking=pb.Asking(per_hour=2)))
