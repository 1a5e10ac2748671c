"""Lesson groups through gRPC: who learns from whom, and what becomes of lessons when sessions move."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.rpc.conftest import LABELS, Harness, frame, jpeg, opening, options, question
from tta_service.wire.v1 import tta_pb2 as pb


async def ask(harness: Harness, session: str, group: str = "", request_id: str = "") -> pb.ClassifyResponse:
    asked = question(
        session_id=session, lesson_group=group, options=options("tip_adapter", alpha=100), request_id=request_id
    )
    return await harness.stub.Classify(asked)


async def teach(harness: Harness, lesson: pb.Lesson, **pupil: str) -> pb.LessonResult:
    (result,) = (await harness.stub.TeachSession(pb.TeachSessionRequest(lessons=[lesson], **pupil))).results
    return result


async def lessons(harness: Harness, **pupil: str) -> list[str]:
    return [one.label for one in (await harness.stub.ListLessons(pb.ListLessonsRequest(**pupil))).lessons]


def picture(number: int, label: str) -> pb.Lesson:
    return pb.Lesson(image=pb.Image(encoded=jpeg(number)), label=label, labels=LABELS)


def top(answer: pb.ClassifyResponse) -> str:
    return answer.top[0].label


async def other_label(harness: Harness) -> str:
    """A label that the picture of `question` does not get by itself."""
    first = top(await harness.stub.Classify(question()))
    return "dog" if first == "cat" else "cat"


async def test_two_sessions_of_one_group_learn_from_each_other_and_others_do_not(harness: Harness) -> None:
    said = await other_label(harness)
    for session, group in (("one", "belt"), ("two", "belt"), ("three", "gate"), ("four", "")):
        await ask(harness, session, group, "a")
    told = await teach(harness, pb.Lesson(request_id="a", label=said), session_id="one")
    assert list(told.learnt_by) == ["tip_adapter"]
    assert {name: top(await ask(harness, name)) == said for name in ("one", "two", "three", "four")} == {
        "one": True,
        "two": True,
        "three": False,
        "four": False,
    }
    later = await ask(harness, "five", "belt")  # begins now, with all that its group was taught
    assert top(later) == said
    gone = await harness.stub.Unlearn(pb.UnlearnRequest(session_id="two", example_ids=[told.example_id]))
    assert list(gone.unlearnt) == [told.example_id] and list(gone.began_anew) == ["tip_adapter"]
    assert top(await ask(harness, "one")) != said
    assert await lessons(harness, lesson_group="belt") == []


async def test_a_stream_names_its_group_and_learns_from_other_streams(harness: Harness) -> None:
    said = await other_label(harness)
    asked = {"options": options("tip_adapter", alpha=100), "lesson_group": "belt"}
    one, two = harness.stub.ClassifyStream(), harness.stub.ClassifyStream()

    async def reply(call: Any, kind: str) -> Any:
        while (message := await call.read()).WhichOneof("kind") != kind:
            pass
        return getattr(message, kind)

    for call in (one, two):
        await call.write(opening(**asked))
        await call.write(frame(1, jpeg()))
        assert top((await reply(call, "answer")).response) != said
    await one.write(pb.ClassifyStreamRequest(lesson=pb.Lesson(image=pb.Image(encoded=jpeg()), label=said)))
    assert not (await reply(one, "lesson")).HasField("status")
    for call in (one, two):
        await call.write(frame(2, jpeg()))
        assert top((await reply(call, "answer")).response) == said
        await call.done_writing()


async def test_a_group_is_taught_pictures_without_a_session(harness: Harness) -> None:
    said = await other_label(harness)
    await ask(harness, "one", "belt")
    told = await teach(harness, picture(0, said), lesson_group="belt")
    assert list(told.learnt_by) == ["tip_adapter"] and await lessons(harness, lesson_group="belt") == [said]
    assert top(await ask(harness, "one")) == top(await ask(harness, "two", "belt")) == said
    again = await teach(harness, pb.Lesson(example_id=told.example_id, none_of_these=True), lesson_group="belt")
    assert again.replaced and list(again.began_anew) == ["tip_adapter"]
    assert top(await ask(harness, "two")) != said
    refused = await teach(harness, pb.Lesson(frame_id=1, label=said), lesson_group="belt")
    assert refused.status.message.startswith("lessons[0].frame_id: the lesson group knows no such picture")


async def test_a_session_that_moves_brings_its_own_lessons_and_leaves_those_of_its_group(harness: Harness) -> None:
    await ask(harness, "one")
    await teach(harness, picture(1, "dog"), session_id="one")
    await ask(harness, "two", "belt")
    await ask(harness, "three", "gate")
    moved = await ask(harness, "one", "belt")
    assert moved.session.memory_reset
    assert await lessons(harness, lesson_group="belt") == ["dog"] == await lessons(harness, session_id="two")
    info = (await harness.stub.GetSession(pb.GetSessionRequest(session_id="two"))).session
    assert (info.lesson_group, info.lessons) == ("belt", 1)
    assert not (await ask(harness, "one", "belt")).session.memory_reset
    assert not (await ask(harness, "one")).session.memory_reset  # no name: it stays
    assert (await ask(harness, "one", "gate")).session.memory_reset
    assert await lessons(harness, session_id="one") == [] and await lessons(harness, session_id="two") == ["dog"]


async def test_a_group_outlives_its_sessions_while_it_holds_lessons(harness: Harness) -> None:
    said = await other_label(harness)
    await ask(harness, "one", "belt")
    await teach(harness, picture(0, said), session_id="one")
    await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="one"))
    assert top(await ask(harness, "two", "belt")) == said


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (pb.ListLessonsRequest(lesson_group="nobody's"), "lesson_group: a lesson group's name is 1 to 128"),
        (pb.ListLessonsRequest(lesson_group="none"), "lesson_group: no lesson group 'none' of yours is open"),
        (
            pb.ListLessonsRequest(lesson_group="a", session_id="b"),
            "lesson_group: a session or a lesson group, not both",
        ),
        (pb.ListLessonsRequest(), "session_id: which session?"),
    ],
    ids=str,
)
async def test_a_group_that_cannot_be_is_refused(
    harness: Harness, request_: pb.ListLessonsRequest, sentence: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.stub.ListLessons(request_)
    assert refused.value.details().startswith(sentence)


async def test_a_bad_group_name_is_told_where_a_picture_or_a_stream_names_it(harness: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.stub.Classify(question(lesson_group="no good"))
    assert refused.value.details().startswith("lesson_group: a lesson group's name is")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in harness.stub.ClassifyStream(iter([opening(lesson_group="no good")])):
            pass
    assert refused.value.details().startswith("open.lesson_group: a lesson group's name is")
