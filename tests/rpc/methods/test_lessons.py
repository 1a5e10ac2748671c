"""TeachSession, Unlearn, ListLessons, and the lessons of a stream."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import numpy as np
import pytest
from google.rpc import code_pb2

from tests.rpc.conftest import LABELS, Harness, busy, frame, jpeg, open_harness, opening, options, question
from tta_service.wire.identity import NOBODY, set_caller
from tta_service.wire.v1 import tta_pb2 as pb


async def ask(harness: Harness, request_id: str = "", **more: Any) -> pb.ClassifyResponse:
    request = question(session_id="gate", options=options("tip_adapter"), request_id=request_id, **more)
    return await harness.stub.Classify(request)


async def teach(harness: Harness, *lessons: pb.Lesson) -> list[pb.LessonResult]:
    request = pb.TeachSessionRequest(session_id="gate", lessons=lessons)
    return list((await harness.stub.TeachSession(request)).results)


async def test_a_lesson_that_is_refused_fails_alone(harness: Harness) -> None:
    await ask(harness, "a")
    results = await teach(
        harness,
        pb.Lesson(request_id="a", label="dog"),
        pb.Lesson(request_id="b", label="dog"),
        pb.Lesson(request_id="a", label="bird"),
        pb.Lesson(label="dog"),
        pb.Lesson(request_id="a"),
        pb.Lesson(request_id="a", none_of_these=False),
        pb.Lesson(request_id="", label="dog"),
        pb.Lesson(example_id="", label="dog"),
        pb.Lesson(image=pb.Image(encoded=b"?"), label="dog", labels=LABELS),
        pb.Lesson(image=pb.Image(encoded=jpeg(5)), label="dog"),
        pb.Lesson(image=pb.Image(encoded=jpeg(5)), label="car", labels=LABELS),
    )
    sentences = [result.status.message for result in results]
    assert sentences == [
        "",
        "lessons[1].request_id: request 'b' is not among the last 256 of this session",
        "lessons[2].label: 'bird' is none of the 3 labels cat, dog, car",
        "lessons[3]: about which frame, request, example or image?",
        "lessons[4].label: what does the picture show: which label, or none of these?",
        "lessons[5].label: what does the picture show: which label, or none of these?",
        "lessons[6]: about which frame, request, example or image?",
        "lessons[7]: about which frame, request, example or image?",
        "lessons[8].image.encoded: the image is neither a JPEG, a PNG nor a WebP file",
        "lessons[9].labels: there are no labels: a picture that is no frame of the session needs them",
        "",
    ]
    assert [list(result.learnt_by) for result in results if not result.HasField("status")] == [["tip_adapter"]] * 2
    assert results[1].status.code == code_pb2.NOT_FOUND


async def test_lessons_are_listed_in_pages_and_taken_back(harness: Harness) -> None:
    before = await ask(harness)
    images = [pb.Lesson(image=pb.Image(encoded=jpeg(n)), label="dog", labels=LABELS) for n in range(5)]
    ids = [result.example_id for result in await teach(harness, *images)]
    assert len(set(ids)) == 5
    listed, token = list[str](), ""
    while True:
        page = await harness.stub.ListLessons(pb.ListLessonsRequest(session_id="gate", page_size=2, page_token=token))
        listed += [lesson.example_id for lesson in page.lessons]
        if not (token := page.next_page_token):
            break
    assert listed == ids
    assert (await ask(harness)).top[0].score != before.top[0].score
    gone = await harness.stub.Unlearn(pb.UnlearnRequest(session_id="gate", example_ids=[*ids, "none"]))
    assert list(gone.unlearnt) == ids and list(gone.began_anew) == ["tip_adapter"]
    after = await ask(harness)
    assert after.top == before.top and after.session.memory_reset


@pytest.mark.parametrize(
    ("rpc", "request_message", "code"),
    [
        ("TeachSession", pb.TeachSessionRequest(lessons=[pb.Lesson(frame_id=1, label="dog")]), "INVALID_ARGUMENT"),
        ("TeachSession", pb.TeachSessionRequest(session_id="gate"), "INVALID_ARGUMENT"),
        ("TeachSession", pb.TeachSessionRequest(session_id="a b", lessons=[pb.Lesson()]), "INVALID_ARGUMENT"),
        ("Unlearn", pb.UnlearnRequest(session_id="nobody"), "NOT_FOUND"),
        ("ListLessons", pb.ListLessonsRequest(session_id="nobody"), "NOT_FOUND"),
    ],
)
async def test_a_wrong_call_is_refused(harness: Harness, rpc: str, request_message: Any, code: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await getattr(harness.stub, rpc)(request_message)
    assert error.value.code() is getattr(grpc.StatusCode, code)


async def test_a_stream_carries_lessons_between_its_frames(harness: Harness) -> None:
    stream = harness.stub.ClassifyStream()
    await stream.write(opening(policy=pb.OpenStream.POLICY_BLOCK, options=options("tip_adapter")))
    replies: list[pb.ClassifyStreamResponse] = []

    async def read(kind: str) -> Any:
        while True:
            reply = await stream.read()
            replies.append(reply)
            if reply.WhichOneof("kind") == kind:
                return getattr(reply, kind)

    await stream.write(frame(1, jpeg(1)))
    first = (await read("answer")).response
    for lesson in (
        pb.Lesson(frame_id=1, label="car"),
        pb.Lesson(frame_id=7, label="car"),
        pb.Lesson(image=pb.Image(encoded=jpeg(9)), label="dog"),  # with the labels of the stream
    ):
        await stream.write(pb.ClassifyStreamRequest(lesson=lesson))
    results = [await read("lesson") for _ in range(3)]
    assert [list(result.learnt_by) for result in results] == [["tip_adapter"], [], ["tip_adapter"]]
    assert results[1].status.message == "lesson.frame_id: frame 7 is not among the last 256 of this session"
    await stream.write(frame(2, jpeg(1)))
    second = (await read("answer")).response
    logits = [{score.label: score.logit for score in answer.top} for answer in (first, second)]
    assert logits[1]["car"] > logits[0]["car"]
    await stream.done_writing()
    while (rest := await stream.read()) is not grpc.aio.EOF:
        assert rest.WhichOneof("kind") == "status"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"dimension": 3, "values": b"\0" * 12}, "lessons[0].image.features.dimension: "),
        ({"values": b"\0" * 8}, "lessons[0].image.features.values: "),
        ({"values": np.full(64, np.nan, "<f4").tobytes()}, "lessons[0].image.features.values: "),
        ({"values": bytes(256)}, "lessons[0].image.features.values: "),
        ({"model": "another"}, "lessons[0].image.features.model: "),
        ({"views": 0}, "lessons[0].image.features."),
    ],
    ids=["dimension", "short", "not finite", "zero", "another model", "no views"],
)
async def test_features_that_no_call_takes_are_refused_as_lessons(
    harness: Harness, given: dict[str, Any], sentence: str
) -> None:
    info = await harness.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.dimension == 64
    values = np.eye(1, 64, dtype="<f4").tobytes()
    right = {"views": 1, "dimension": 64, "values": values, "model": info.model_fingerprint}

    def lesson(**given: Any) -> pb.Lesson:
        return pb.Lesson(image=pb.Image(features=pb.Features(**{**right, **given})), labels=LABELS, label="dog")

    wrong, good = await teach(harness, lesson(**given), lesson())
    assert wrong.status.message.startswith(sentence), wrong.status.message
    assert not good.HasField("status")


async def test_a_frame_that_is_sent_after_lessons_is_answered_with_all_of_them(harness: Harness) -> None:
    stream = harness.stub.ClassifyStream()
    await stream.write(opening(policy=pb.OpenStream.POLICY_BLOCK, options=options("tip_adapter", alpha=100.0)))
    for number in range(40):  # none of which is read, while frames wait behind them
        lesson = pb.Lesson(image=pb.Image(encoded=jpeg(number)), label="car")
        await stream.write(pb.ClassifyStreamRequest(lesson=lesson))
    await stream.write(frame(1, jpeg(50)))
    await stream.done_writing()
    await asyncio.sleep(0.3)
    kinds, answers = list[str](), list[pb.ClassifyResponse]()
    while (reply := await stream.read()) is not grpc.aio.EOF:
        kinds.append(reply.WhichOneof("kind"))
        if kinds[-1] == "answer":
            answers.append(reply.answer.response)
    assert [kind for kind in kinds if kind != "status"] == ["lesson"] * 40 + ["answer"]
    assert answers[0].top[0].label == "car"


async def test_one_message_holds_only_so_many_lessons() -> None:
    lesson = pb.Lesson(request_id="a", label="dog")
    async with open_harness(lessons=3) as harness:
        await ask(harness, "a")
        too_many = {
            "lessons": harness.stub.TeachSession(pb.TeachSessionRequest(session_id="gate", lessons=[lesson] * 4)),
            "example_ids": harness.stub.Unlearn(pb.UnlearnRequest(session_id="gate", example_ids="abcd")),
        }
        for field, call in too_many.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert refused.value.details() == f"{field}: 4 in one message; this server takes at most 3"
        assert len(await teach(harness, *[lesson] * 3)) == 3
        assert not (await harness.stub.Unlearn(pb.UnlearnRequest(session_id="gate", example_ids="abc"))).unlearnt


async def test_other_work_goes_on_between_lessons_that_are_refused(harness: Harness) -> None:
    await ask(harness)
    set_caller(NOBODY)
    request = pb.TeachSessionRequest(session_id="gate", lessons=[pb.Lesson(frame_id=9, label="dog")] * 200)
    teaching = asyncio.create_task(harness.service.TeachSession(request, cast("Any", None)))  # no transport to wait for
    steps = 0
    while not teaching.done():
        await asyncio.sleep(0)
        steps += 1
    assert len((await teaching).results) == 200 and steps > 200


@pytest.mark.parametrize("about", ["request_id", "example_id"])
async def test_a_long_id_is_not_repeated_in_full(harness: Harness, about: str) -> None:
    await ask(harness)
    (refused,) = await teach(harness, pb.Lesson(**{about: "x" * 100_000, "label": "dog"}))
    sentence = refused.status.message
    assert len(sentence) < 160 and "x" * 50 in sentence


@pytest.mark.parametrize("policy", ["POLICY_BLOCK", "POLICY_LATEST"])
async def test_a_lesson_that_is_sent_right_behind_its_frame_waits_for_its_answer(harness: Harness, policy: str) -> None:
    stream = harness.stub.ClassifyStream()
    await stream.write(opening(policy=pb.OpenStream.Policy.Value(policy), options=options("tip_adapter")))
    async with busy(harness):
        for id in (1, 2, 3):  # the latest one takes the place of the second
            await stream.write(frame(id))
        for id in (3, 2, 9):
            await stream.write(pb.ClassifyStreamRequest(lesson=pb.Lesson(frame_id=id, label="dog")))
        await asyncio.sleep(0.05)
    await stream.done_writing()
    replies = list[Any]()
    while (reply := await stream.read()) is not grpc.aio.EOF:
        replies.append(reply)
    results = [reply.lesson.status.message for reply in replies if reply.WhichOneof("kind") == "lesson"]
    answered = {reply.answer.frame_id for reply in replies if reply.WhichOneof("kind") == "answer"}
    assert 3 in answered and results == [
        "" if id in answered else f"lesson.frame_id: frame {id} is not among the last 256 of this session"
        for id in (3, 2, 9)
    ]
