"""What was stored before encryption, lessons and questions with it, is read once and written anew, encrypted.

The archive holds the sessions `alone` and `gate` after three frames, the lesson group `belt` of `gate`, a snapshot of
`alone`, and the logits of the fourth frame.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.survival.cameras import Camera, picture, scores, start_service
from tta_service.serving.persistence.signing import format_of
from tta_service.wire.v1 import tta_pb2 as pb

ARCHIVE = Path(__file__).parent / "taught-november-2026.tar.xz"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(tmp_path, filter="data")
    for file in (tmp_path / "store").rglob("*"):
        file.touch()
    return tmp_path


def formats(store: Path) -> set[str]:
    """Those of all states and lessons in a store."""
    states = [file.read_bytes().partition(b"\n")[2] for file in store.glob("*.session")]
    return {str(format_of(blob)) for blob in (*states, *(file.read_bytes() for file in store.glob("*.lessons/*")))}


async def look(stub: Any, name: str) -> dict[str, Any]:
    camera = Camera(stub)
    status = await camera.open(strategy="tip_adapter", session_id=name)
    assert status.origin == pb.SessionStatus.ORIGIN_RESTORED
    logits = scores(await camera.frame(4))
    await camera.end()
    questions = (await stub.ListQuestions(pb.ListQuestionsRequest(session_id=name))).questions
    lessons = (await stub.ListLessons(pb.ListLessonsRequest(session_id=name))).lessons
    return {
        "logits": pytest.approx(logits, abs=0.01),
        "frames": status.frames,
        "lessons": [one.label for one in lessons],
        "questions": [one.request_id for one in questions],
    }


async def list_group(stub: Any) -> list[str]:
    lessons = (await stub.ListLessons(pb.ListLessonsRequest(lesson_group="belt"))).lessons
    return sorted(one.label for one in lessons)


@pytest.mark.slow
async def test_sessions_and_groups_go_on_and_are_encrypted_as_soon_as_they_are_read(before: Path):
    store, expected = before / "store", json.loads((before / "expected.json").read_text())
    group = expected.pop("group")
    assert formats(store) == {"1", "2"}
    async with start_service(store, sessions__write_seconds=0.1, sessions__group_seconds=0.1) as (service, stub):
        for name in expected:
            await stub.SnapshotSession(pb.SnapshotSessionRequest(session_id=name))
        await service.runtime.persistence.save_all()
        assert formats(store) == {"3"}  # nothing was learnt
        for name in expected:
            assert await look(stub, name) == expected[name]
        assert await list_group(stub) == group
    async with start_service(store) as (_, stub):
        assert await list_group(stub) == group
        again = await look(stub, "alone")
        assert (again["frames"], again["lessons"]) == (expected["alone"]["frames"] + 1, expected["alone"]["lessons"])


async def test_a_snapshot_is_restored(before: Path, tmp_path: Path):
    snapshot = pb.SessionSnapshot.FromString((before / "alone.snapshot").read_bytes())
    async with start_service(tmp_path / "empty") as (_, stub):
        info = (await stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (info.session_id, info.lessons, info.questions) == ("alone", 2, 1)
        call = pb.ClassifyRequest(session_id="alone", image=pb.Image(encoded=picture(4)))
        call.labels.label_set.names.extend(["flower", "temple", "cat"])
        assert (await stub.Classify(call)).session.frames == info.frames + 1
    assert formats(tmp_path / "empty") == {"3"}
