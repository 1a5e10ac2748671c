"""What a server that stops does with sessions and lesson groups which its store does not take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.serving.harness import EXACT, LABELS, make_image
from tests.serving.persistence.stores.test_faults import full_disk
from tests.serving.persistence.test_service import Server, server
from tta_service.app.runtime import save_sessions
from tta_service.core.lessons import FrameRef, LessonRequest
from tta_service.serving.persistence.stores.folder import FolderStore


async def teach(one: Server, session: str = "", group: str = "") -> None:
    """One lesson, about the session's first frame, or about a picture."""
    lesson = LessonRequest(FrameRef(1), LABELS.names[0], None, EXACT)
    if group:
        lesson = LessonRequest(make_image(1), LABELS.names[0], LABELS, EXACT)
    await one.running.teaching.teach("ann", session, lesson, "", group)


def errors(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelname == "ERROR"]


async def test_what_the_store_never_took_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.frame(1, "door")
        await teach(one, "cam")
        with full_disk(100):
            await save_sessions(one.persistence, seconds=0.05)
            assert not errors(caplog)  # there may be another attempt
            one.persistence.report_unwritten()
        await save_sessions(one.persistence)
        one.persistence.report_unwritten()
    assert errors(caplog) == [
        "the state store did not take 2 sessions, 1 of them with lessons, and 0 lesson groups; what they learnt since"
        " their last write is lost: door, cam"
    ]


async def test_writes_are_tried_again_for_as_long_as_there_is_time(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with server(tmp_path) as one:
        await one.frame(1)
        with full_disk(100):
            saving = asyncio.create_task(save_sessions(one.persistence, seconds=PATIENCE))
            while not one.persistence.is_behind:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await saving
        one.persistence.report_unwritten()
        assert await FolderStore(tmp_path, 3600.0).epoch("ann", "cam") == 1 and not errors(caplog)


async def test_a_session_without_a_name_whose_stream_ends_meanwhile_is_tried_again_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with server(tmp_path) as one:
        with one.running.sessions.lease("ann") as stream:
            id = stream.session
            await one.frame(1, id)
            one.persistence.drain()
            with full_disk(100):
                await save_sessions(one.persistence, streams=True, seconds=0.05)
        assert one.running.sessions.registry.get("ann", id) is None
        one.persistence.report_unwritten()
        assert id in errors(caplog)[0]
        await save_sessions(one.persistence)
        assert await FolderStore(tmp_path, 3600.0).epoch("ann", id) == 1
        caplog.clear()
        one.persistence.report_unwritten()
        assert not errors(caplog)


async def test_a_lesson_group_is_tried_again_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.persistence.save_all()
        with full_disk(100):
            await teach(one, group="belt")
            await save_sessions(one.persistence, seconds=0.05)
            assert one.persistence.is_behind
            one.persistence.report_unwritten()
        assert "0 sessions, 0 of them with lessons, and 1 lesson groups" in errors(caplog)[0]
        assert errors(caplog)[0].endswith(": belt")
        await save_sessions(one.persistence)
        assert not one.persistence.is_behind
        caplog.clear()
        one.persistence.report_unwritten()
        assert not errors(caplog)
