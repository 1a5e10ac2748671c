"""Lessons that go to other sessions, servers and models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.clip.small import small
from tests.rpc.conftest import LABELS, Harness, busy, choice, jpeg, open_harness, options, question, until
from tta_service.clip.load import load
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb


async def ask(harness: Harness, seed: int = 0, session: str = "gate", **more: Any) -> pb.ClassifyResponse:
    more = {"options": options("tip_adapter", alpha=100.0), **more}
    return await harness.stub.Classify(question(image=pb.Image(encoded=jpeg(seed)), session_id=session, **more))


async def teach(harness: Harness, *lessons: pb.Lesson, session: str = "gate") -> list[pb.LessonResult]:
    request = pb.TeachSessionRequest(session_id=session, lessons=lessons)
    return list((await harness.stub.TeachSession(request)).results)


async def export(harness: Harness, session: str = "gate", **more: Any) -> pb.ListLessonsResponse:
    return await harness.stub.ListLessons(pb.ListLessonsRequest(session_id=session, recorded=True, **more))


def imported(exported: pb.ListLessonsResponse, thumbnail: bytes = b"") -> list[pb.Lesson]:
    lessons = []
    for info in exported.lessons:
        lesson = pb.Lesson(recorded=info.recorded, labels=pb.Labels(label_set=exported.label_sets[info.label_set_id]))
        if info.label:
            lesson.label = info.label
        else:
            lesson.none_of_these = True
        lesson.recorded.thumbnail = thumbnail or lesson.recorded.thumbnail
        lessons.append(lesson)
    return lessons


def picture(seed: int, label: str, **more: Any) -> pb.Lesson:
    lesson = pb.Lesson(image=pb.Image(encoded=jpeg(seed)), labels=LABELS, **more)
    if label:
        lesson.label = label
    else:
        lesson.none_of_these = True
    return lesson


async def test_what_is_exported_teaches_another_server_the_same() -> None:
    reduced = pb.Reduction(reducer=choice("tome"), scope=pb.Reduction.SCOPE_ALL_VIEWS)
    async with open_harness() as here:
        views = await ask(here, 1, options=options("mta", views=8), request_id="several")
        assert views.views == 8
        await teach(here, pb.Lesson(request_id="several", label="dog"), picture(2, "car"), picture(3, ""))
        await teach(here, picture(4, "cat", reduction=reduced))
        exported, expected = await export(here), await ask(here, 9)
    async with open_harness() as there:
        results = await teach(there, *imported(exported), session="other")
        assert [one.example_id for one in results] == [one.example_id for one in exported.lessons]
        assert not any(one.replaced or one.set_apart or one.stored or one.HasField("status") for one in results)
        again = await export(there, "other")
        for before, after in zip(exported.lessons, again.lessons, strict=True):
            before.ClearField("frame_id")
            assert before == after
        assert again.label_sets == exported.label_sets
        assert [len(one.recorded.features.values) for one in again.lessons] == [512, 256, 256, 256]
        assert (await ask(there, 9, session="other")).top == expected.top
        assert all(one.replaced for one in await teach(there, *imported(exported), session="other"))
        plain = await there.stub.ListLessons(pb.ListLessonsRequest(session_id="other"))
        assert not plain.label_sets and not any(one.HasField("recorded") for one in plain.lessons)


async def test_lessons_of_another_model_are_set_apart_or_made_anew_from_their_thumbnail() -> None:
    async with open_harness(FakeCLIP(seed=1)) as here:
        await teach(here, picture(1, "dog"), picture(2, "car"))
        exported = await export(here)
    async with open_harness() as there:
        plain = await ask(there, 1)
        (apart, second), (known, _) = (
            await teach(there, *imported(exported)),
            await teach(there, picture(1, "cat"), picture(9, "")),
        )
        assert apart.set_apart and second.set_apart and not apart.learnt_by
        assert known.replaced and not known.set_apart and list(known.learnt_by) == ["tip_adapter"]
        info = (await there.stub.GetSession(pb.GetSessionRequest(session_id="gate"))).session
        assert (info.lessons, info.lessons_set_apart) == (3, 1)
        again, *_ = await teach(there, *imported(exported, thumbnail=jpeg(1)))
        assert again.replaced and not again.set_apart and list(again.began_anew) == ["tip_adapter"]
        answer = await ask(there, 1)
        assert answer.session.lessons_set_apart == 0 and answer.session.memory_reset
        assert answer.top[0].label == "dog" and plain.top != answer.top
        await teach(there, *imported(exported))  # which says the same and knows less
        listed = (await export(there)).lessons
        assert not any(one.set_apart for one in listed)
        assert [bool(one.recorded.thumbnail) for one in listed] == [False, True, True]


def at(seconds: float) -> Timestamp:
    when = Timestamp()
    when.FromNanoseconds(int(seconds * 1e9))
    return when


NOW = time.time()


@pytest.mark.parametrize(
    ("given", "features", "sentence"),
    [
        ({"example_id": ""}, {}, "example_id: an example id is 1 to 128 of"),
        ({"example_id": "../a"}, {}, "example_id: an example id is 1 to 128 of"),
        ({"example_id": "a" * 129}, {}, "example_id: an example id is 1 to 128 of"),
        ({"seen": at(NOW + 86400)}, {}, "seen: a picture cannot have been seen"),
        ({"seen": at(-1)}, {}, "seen: a picture cannot have been seen before 1970"),
        ({"seen": Timestamp(seconds=1, nanos=-1)}, {}, "seen.nanos: nanos is -1; it must be 0 to 999999999"),
        ({"seen": Timestamp(seconds=1, nanos=10**9)}, {}, "seen.nanos: nanos is 1000000000; it must be"),
        ({"seen": Timestamp(seconds=1 << 62)}, {}, "seen: a picture cannot have been seen"),
        ({"reduction": pb.Reduction(reducer=choice("no such"))}, {}, "reduction.reducer.name: "),
        ({"thumbnail": b"no picture"}, {}, "thumbnail: the image is neither"),
        ({"thumbnail": bytes(2 << 20)}, {}, "thumbnail: the thumbnail has 2097152 bytes"),
        ({}, {"values": np.full(64, np.nan, "<f4").tobytes()}, "features.values: row 0 holds a number"),
        ({}, {"values": bytes(256)}, "features.values: row 0 holds a number"),
        ({}, {"values": bytes(8)}, "features.values: 8 bytes; "),
        ({}, {"dimension": 32, "values": bytes(128)}, "features.dimension: dimension is 32; the model's is 64"),
        ({}, {"model": "other", "dimension": 9000}, "features.dimension: dimension is 9000; it must be"),
        ({}, {"model": "other", "dimension": 0, "values": b""}, "features.dimension: dimension is 0; it must be"),
        ({}, {"views": 3, "values": bytes(768)}, "features.views: views is 3; "),
        ({}, {"model": ""}, "features.model: of which model"),
        ({}, {"model": "m" * 129}, "features.model: of which model"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_a_recorded_example_that_cannot_be_is_refused_by_its_field(
    harness: Harness, given: dict[str, Any], features: dict[str, Any], sentence: str
) -> None:
    model = (await harness.stub.GetServerInfo(pb.GetServerInfoRequest())).model_fingerprint
    right = {"views": 1, "dimension": 64, "values": np.eye(1, 64, dtype="<f4").tobytes(), "model": model}

    def lesson(features: dict[str, Any], **given: Any) -> pb.Lesson:
        example = pb.RecordedExample(**{"example_id": "a", "features": pb.Features(**{**right, **features}), **given})
        return pb.Lesson(recorded=example, labels=LABELS, label="dog")

    wrong, good, bare = lesson(features, **given), lesson({}), lesson({})
    bare.ClearField("labels")
    wrong, good, bare = await teach(harness, wrong, good, bare)
    assert wrong.status.message.startswith(f"lessons[0].recorded.{sentence}"), wrong.status.message
    assert good.example_id == "a" and not good.HasField("status")
    assert bare.status.message == "lessons[2].labels: there are no labels: a recorded example needs them"


async def test_a_thumbnail_that_ends_too_early_refuses_the_lesson(harness: Harness) -> None:
    values = np.eye(1, 8, dtype="<f4").tobytes()
    features = pb.Features(views=1, dimension=8, values=values, model="another")
    example = pb.RecordedExample(
        example_id="a", features=features, thumbnail=jpeg(1)[:300], reduction=pb.Reduction(reducer=choice("none"))
    )
    (result,) = await teach(harness, pb.Lesson(recorded=example, labels=LABELS, label="dog"))
    assert result.status.message.startswith("lessons[0].recorded.thumbnail: "), result.status.message


async def test_pages_of_an_export_fit_into_a_message(harness: Harness) -> None:
    big = jpeg(1) + bytes(900_000)
    lessons = [picture(seed, "dog") for seed in range(5)]
    await teach(harness, *lessons)
    for lesson in imported(await export(harness), thumbnail=big):
        await teach(harness, lesson, session="other")
    seen, token = list[str](), ""
    while not seen or token:
        page = await export(harness, "other", page_token=token)
        assert page.ByteSize() < 4 << 20
        seen, token = seen + [one.example_id for one in page.lessons], page.next_page_token
    assert seen == [one.example_id for one in (await export(harness)).lessons]


def fake() -> Any:
    return FakeCLIP(dimension=32, seed=1)


def pocket() -> Any:
    return load("pocket", device="cpu")


@pytest.mark.parametrize(("old", "new"), [(FakeCLIP, fake), (small, pocket)], ids=["fakes", "towers"])
async def test_lessons_outlive_a_change_of_model_and_are_of_use_again_after_the_way_back(
    old: Callable[[], Any], new: Callable[[], Any]
) -> None:
    async with open_harness(old()) as harness:
        await ask(harness, 1)
        await teach(harness, picture(1, "dog"), picture(2, "car"), picture(3, ""))
        snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        exported, expected = await export(harness), await ask(harness, 9)
    async with open_harness(new()) as harness:
        info = (await harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (info.frames, info.lessons, info.lessons_set_apart) == (1, 3, 3)
        assert not info.strategies
        answer = await ask(harness, 9)
        assert answer.session.memory_reset and answer.session.lessons_set_apart == 3
        assert answer.top == (await ask(harness, 9, session="fresh")).top
        assert [one.set_apart for one in (await export(harness)).lessons] == [True] * 3
        (taught,) = await teach(harness, picture(4, "cat"))
        assert list(taught.learnt_by) == ["tip_adapter"]
        assert (await ask(harness, 4)).top[0].label == "cat"
        snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
    async with open_harness(old()) as harness:
        info = (await harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (info.lessons, info.lessons_set_apart) == (4, 1)
        answer = await ask(harness, 9)
        assert answer.session.memory_reset and answer.top == expected.top
        for before, after in zip(exported.lessons, (await export(harness)).lessons):
            assert before == after


async def test_lessons_with_a_thumbnail_are_encoded_again_when_the_model_changes() -> None:
    async with open_harness() as harness:
        await teach(harness, picture(1, "dog"))
        exported = await export(harness)
        await ask(harness, 1, session="other")
        await teach(harness, *imported(exported, thumbnail=jpeg(1)), picture(2, "car"), session="other")
        snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="other"))).snapshot
    async with open_harness(fake()) as harness:
        info = (await harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (info.lessons, info.lessons_set_apart) == (2, 1)
        answer = await ask(harness, 1, session="other")
        assert answer.top[0].label == "dog" and answer.session.memory_reset
        await teach(harness, picture(1, "dog"), session="direct")
        anew, direct = (await export(harness, "other")).lessons[0], (await export(harness, "direct")).lessons[0]
        assert anew.recorded.features == direct.recorded.features
        assert anew.recorded.seen == exported.lessons[0].recorded.seen


async def test_another_models_session_without_lessons_is_refused(harness: Harness) -> None:
    await ask(harness)
    snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
    async with open_harness(fake()) as there:
        with pytest.raises(Exception, match=r"snapshot.state: this snapshot was made with another model"):
            await there.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))


async def test_a_server_that_has_lost_a_session_takes_it_back_before_it_teaches(tmp_path: Path) -> None:
    stores = FolderStore(tmp_path, 3600.0), FolderStore(tmp_path, 3600.0)
    async with open_harness(store=stores[0]) as here, open_harness(store=stores[1]) as there:
        await ask(here, 1, request_id="r1")
        (first,) = await teach(here, pb.Lesson(request_id="r1", label="cat"))
        await ask(here, 2, request_id="r2")  # which is not written yet
        assert [one.label for one in (await export(there)).lessons] == ["cat"]  # the session is there now
        (second,) = await teach(here, pb.Lesson(request_id="r2", label="dog"))
        assert first.stored and second.stored
        assert [one.label for one in (await export(there)).lessons] == ["cat", "dog"]
        await ask(there, 3)
        assert [one.label for one in (await export(here)).lessons] == ["cat", "dog"]
        await ask(here, 4)
        assert len((await export(there)).lessons) == 2
        unlearn = pb.UnlearnRequest(session_id="gate", example_ids=[first.example_id])
        assert (await here.stub.Unlearn(unlearn)).stored
        assert [one.label for one in (await export(there)).lessons] == ["dog"]


async def test_a_server_that_has_lost_a_session_resets_closes_and_copies_the_present_one(tmp_path: Path) -> None:
    stores = FolderStore(tmp_path, 3600.0), FolderStore(tmp_path, 3600.0)
    async with open_harness(store=stores[0]) as here, open_harness(store=stores[1]) as there:

        async def lose() -> None:
            """The session goes on there, while this server has frames that are not written."""
            await teach(here, picture(1, "cat"))
            await ask(here, 1)
            await teach(there, picture(2, "dog"))

        await lose()
        snapshot = (await here.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        info = (await there.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert info.lessons == 2
        await lose()
        reset = (await here.stub.ResetSession(pb.ResetSessionRequest(session_id="gate"))).session
        assert reset.lessons == 2 and not reset.strategies
        await lose()
        await here.stub.CloseSession(pb.CloseSessionRequest(session_id="gate"))
        with pytest.raises(grpc.aio.AioRpcError, match="session_id: no session 'gate' of yours is open"):
            await export(here)
        assert await stores[0].epoch("", "gate") == 0


async def test_lessons_of_a_session_that_is_closed_meanwhile_are_no_success(harness: Harness) -> None:
    await ask(harness, 1, request_id="r1")
    lessons = [pb.Lesson(request_id="r1", label="cat"), picture(2, "dog")]
    async with busy(harness):  # the picture waits for the device
        teaching = asyncio.ensure_future(teach(harness, *lessons))
        await until(lambda: len(harness.parts.teaching.lessons("", "gate")) == 1)
        await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="gate"))
    with pytest.raises(grpc.aio.AioRpcError, match="session_id: no session 'gate' of yours is open"):
        await teaching
