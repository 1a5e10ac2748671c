"""Sessions and the state store: what survives a server, what is lost, and which server loses a session."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.patience import PATIENCE
from tests.redis_server import redis_server
from tests.serving.harness import EXACT, LABELS, Harness, harness, make_request
from tta_service.core.errors import (
    BadRequest,
    NewerFormat,
    NotReady,
    OlderSnapshot,
    SessionMoved,
    UnknownSession,
    Unsupported,
)
from tta_service.core.events import Closed
from tta_service.core.lessons import FrameRef, LessonRequest
from tta_service.core.request import Report
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.service import SessionPersistence
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.snapshots import Snapshots
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.records import Stored, name_of
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.serving.sessions.session import Session
from tta_service.strategies.tda import TDA

SECRET = b"a secret for tests"


@dataclass
class Server:
    running: Harness
    persistence: SessionPersistence
    owner: str = "ann"

    async def frame(self, number: int, name: str = "cam") -> Report:
        await self.persistence.load(self.owner, name)
        frame = make_request(number, TDA(), session=name, frame_id=number, owner=self.owner)
        report = await self.running.engine.classify(frame)
        self.persistence.observe(report)
        return report

    async def frames(self, *numbers: int) -> list[Report]:
        return [await self.frame(number) for number in numbers]


@asynccontextmanager
async def server(store: Path | Store, address: str = "", secret: bytes = SECRET, **more: Any) -> AsyncIterator[Server]:
    write_frames, adopt_owner = more.pop("write_frames", 50), more.pop("adopt_owner", "")
    former = more.pop("former", ())
    async with harness(**more) as running:
        opened = FolderStore(store, 3600.0) if isinstance(store, Path) else store
        parts = running.sessions, running.text_spaces, running.lanes
        snapshots = Snapshots(*parts, "model", secret, adopt_owner=adopt_owner, former_secrets=former)
        persistence = SessionPersistence(running.sessions, snapshots, opened, write_frames, lambda: address)
        yield Server(running, persistence)
        await opened.close()


async def test_what_was_stored_without_an_owner_is_read_once_and_written_anew_for_the_one_who_adopts(tmp_path: Path):
    async with server(tmp_path) as old:
        old.owner = ""
        await old.frames(1, 2, 3)
        saved = await old.persistence.snapshot("", "cam")
        await old.persistence.save_all()
        old.running.sessions.lease("", "cam")
        token = old.persistence.resume_token("", "cam")
        expected = await old.frames(4)
    before = stored_files(tmp_path)
    async with server(tmp_path) as stranger:
        assert (await stranger.frame(4)).session.origin == "fresh"
        with pytest.raises(BadRequest, match="another owner's"):
            await stranger.persistence.restore("ann", saved.state)
        with pytest.raises(BadRequest, match="no stream of yours"):
            stranger.persistence.resume("ann", token)
        assert stored_files(tmp_path) == before and await FolderStore(tmp_path, 3600.0).has_unowned()
    async with server(tmp_path, adopt_owner="ann") as mine:
        assert mine.persistence.resume("ann", token) == ("cam", True)
        answers = await mine.frames(4)
        assert (answers[0].session.origin, answers[0].session.frames) == ("restored", 4)
        assert same_logits(answers, expected)
        assert not stored_files(tmp_path).keys() & before.keys()
        assert not await FolderStore(tmp_path, 3600.0).has_unowned()
        await mine.persistence.save_all()
    async with server(tmp_path, adopt_owner="ann") as next_one:
        assert (await next_one.frame(5)).session.frames == 5
        await next_one.persistence.restore("ann", saved.state)
        assert next_one.running.sessions.get("ann", "cam").frames == 3


async def test_an_evicted_session_that_the_store_has_lost_nothing(tmp_path: Path):
    one_memory = MemoryLimits(sessions=1)
    async with server(tmp_path, limits=one_memory) as small:
        await small.frame(1)
        await small.frame(1, "other")
        back = (await small.frame(2)).session
        assert (back.origin, back.frames, back.memory_reset) == ("restored", 2, False)
        await small.frame(2, "other")
        await small.persistence.save_all()
        for name in stored_files(tmp_path):
            (tmp_path / name).unlink()
        assert (await small.frame(3)).session.memory_reset


def stored_files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.session")}


def same_logits(reports: list[Report], others: list[Report]) -> bool:
    return all(torch.equal(one.logits, other.logits) for one, other in zip(reports, others, strict=True))


async def test_a_session_goes_on_from_its_last_write(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frames(1, 2, 3)
        await one.persistence.save_all()
        expected = await one.frames(4, 5)  # never written: this server is about to be killed
    async with server(tmp_path) as two:
        answers = await two.frames(4, 5)
        first = answers[0].session
        assert (first.origin, first.frames, first.last_frame_id) == ("restored", 4, 4)
        assert answers[1].session.origin == "continued"
        assert same_logits(answers, expected)


async def test_the_status_before_the_first_frame_names_the_last_one_remembered(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frames(1, 2, 7)
        await one.persistence.save("ann", "cam")
    async with server(tmp_path) as two:
        await two.persistence.load("ann", "cam", opening=True)
        with two.running.sessions.lease("ann", "cam") as stream:
            assert (stream.status().origin, stream.status().last_frame_id) == ("restored", 7)
        assert two.running.sessions.get("ann", "cam").epoch == 2


async def test_a_session_is_written_after_so_many_frames(tmp_path: Path):
    async with server(tmp_path, write_frames=3) as one:
        await one.frames(1, 2)
        assert await FolderStore(tmp_path, 3600.0).epoch("ann", "cam") == 0
        await one.frame(3)
        await one.persistence.save("ann", "cam")
        assert await FolderStore(tmp_path, 3600.0).epoch("ann", "cam") == 1


async def test_a_server_that_has_lost_a_session_learns_at_its_next_write_where_it_is(tmp_path: Path):
    async with server(tmp_path, "a:1") as one, server(tmp_path, "b:1") as two:
        await one.frames(1, 2)
        await one.persistence.save_all()
        with one.running.sessions.lease("ann", "cam") as stream:
            expected = (await one.frames(3))[0]
            assert same_logits(await two.frames(3), [expected])  # two had what was written
            await one.persistence.save_all()
            lost = await stream.wait_lost(9.0)
        assert isinstance(lost, SessionMoved) and lost.message == "the session has moved to b:1"
        with pytest.raises(UnknownSession):
            one.running.sessions.get("ann", "cam")
        assert one.running.of(Closed) == [Closed("moved", 3)]
        await two.persistence.save_all()
        back = await one.frame(4)  # it comes back: with all that two has seen
        assert (back.session.origin, back.session.frames) == ("restored", 4)


async def test_two_servers_share_a_redis_and_a_caller_that_leaves_stops_no_takeover():
    with redis_server() as url:
        stores = await open_store(url, 60.0), await open_store(url, 60.0)
        async with server(stores[0], "a:1") as one, server(stores[1], "b:1") as two:
            await one.frames(1, 2)
            await one.persistence.save_all()
            expected = await one.frame(3)
            leaving = asyncio.create_task(two.persistence.load("ann", "cam", opening=True))
            await asyncio.sleep(0)
            leaving.cancel()
            await two.persistence.load("ann", "cam")
            assert leaving.cancelled() and two.running.sessions.get("ann", "cam").epoch == 2
            assert same_logits([await two.frame(3)], [expected])
            await one.persistence.save_all()
            assert one.running.of(Closed) == [Closed("moved", 3)]


async def test_a_stream_that_comes_back_does_not_find_an_old_copy(tmp_path: Path):
    async with server(tmp_path) as one, server(tmp_path) as two:
        await one.frame(1)
        await one.persistence.save_all()
        await two.frames(2, 3)
        await two.persistence.save_all()
        await one.persistence.load("ann", "cam", opening=True)
        assert one.running.sessions.get("ann", "cam").frames == 3


async def test_an_idle_copy_is_not_used_when_the_session_has_gone_on_elsewhere(tmp_path: Path):
    async with server(tmp_path) as one, server(tmp_path) as two:
        await one.frame(1)
        await one.persistence.save_all()
        expected = await two.frames(2, 3)
        await two.persistence.save_all()
        back = await one.frame(4)
        assert (back.session.origin, back.session.frames) == ("restored", 4)
        assert one.running.of(Closed) == [Closed("moved", 1)] and expected[-1].session.frames == 3


async def test_while_a_server_drains_each_session_is_written_before_its_answer(tmp_path: Path):
    async with server(tmp_path) as one, server(tmp_path) as two:
        await one.frame(1)
        await one.persistence.before_reply("ann", "cam")
        assert await FolderStore(tmp_path, 3600.0).epoch("ann", "cam") == 0
        one.persistence.drain()
        await one.frame(2)
        await one.persistence.before_reply("ann", "cam")
        assert (await two.frame(3)).session.frames == 3


async def test_an_evicted_session_is_written(tmp_path: Path):
    async with server(tmp_path, limits=MemoryLimits(sessions=1)) as one:
        await one.frame(1)
        await one.frame(1, name="other")  # "cam" is evicted
        assert one.running.of(Closed) == [Closed("capacity", 1)]
        again = await one.frame(2)
        assert (again.session.origin, again.session.frames) == ("restored", 2)
        await one.persistence.save_all()


async def test_a_closed_session_is_deleted_from_the_store(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.persistence.save_all()
        one.running.sessions.close("ann", "cam")
        fresh = await one.frame(2)
        assert (fresh.session.origin, fresh.session.frames) == ("fresh", 1)
        await one.persistence.save_all()


async def test_a_state_that_cannot_be_read_counts_as_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with server(tmp_path) as one:
        await one.frames(1, 2)
        await one.persistence.save_all()
    async with server(tmp_path, secret=b"another") as two:
        fresh = await two.frame(3)
        assert (fresh.session.origin, fresh.session.frames) == ("fresh", 1)
        assert "begins anew" in caplog.text
        await two.persistence.save_all()  # and from now on the store has this one
        assert two.running.of(Closed) == [] and await FolderStore(tmp_path, 3600.0).epoch("ann", "cam") == 2


async def test_a_session_with_lessons_whose_state_cannot_be_read_stays_as_it_is(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        word = LessonRequest(FrameRef(1), LABELS.names[0], None, EXACT)
        await one.running.teaching.teach("ann", "cam", word)
        assert await one.persistence.save_lessons("ann", "cam")
    async with server(tmp_path, secret=b"another") as two:
        for _ in range(2):
            with pytest.raises(Unsupported, match="lessons cannot be read here: this snapshot was not made here"):
                await two.frame(2)
        await two.persistence.save_all()
    async with server(tmp_path) as one:
        assert (await one.frame(2)).session.frames == 2
        assert len(one.running.teaching.lessons("ann", "cam")) == 1


async def test_a_session_by_a_former_secret_goes_on_and_is_written_anew_by_the_new_one(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frames(1, 2)
        await one.persistence.save_all()
        expected = await one.frames(3)
    async with server(tmp_path, secret=b"the next one", former=[SECRET]) as two:
        await two.persistence.load("ann", "cam", opening=True)
        await two.persistence.save_all()  # though nothing was learnt
    async with server(tmp_path, secret=b"the next one") as three:
        answers = await three.frames(3)
        assert answers[0].session.origin == "restored" and same_logits(answers, expected)
        await three.persistence.save_all()


async def test_a_record_under_the_name_of_another_session_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with server(tmp_path) as one:
        await one.frames(1, 2)
        await one.persistence.save_all()
    record = stored(tmp_path)
    for owner, name in (("ann", "other"), ("bob", "cam")):
        (tmp_path / f"{name_of(owner, name)}.session").write_bytes(record)
        async with server(tmp_path) as two:
            two.owner = owner
            assert (await two.frame(3, name)).session.origin == "fresh"
        assert f"session {name} begins anew" in caplog.text
    async with server(tmp_path) as three:
        with pytest.raises(BadRequest, match="of another session"):  # nor is it anybody's snapshot
            await three.persistence.restore("ann", record.partition(b"\n")[2])


def put_newer(folder: Path) -> bytes:
    """The one stored session becomes one that a newer version wrote."""
    [file] = folder.glob("*.session")
    file.write_bytes(b'{"format": 3}\nall is new')
    return file.read_bytes()


def stored(folder: Path) -> bytes:
    [file] = folder.glob("*.session")
    return file.read_bytes()


async def test_a_session_that_a_newer_version_wrote_is_not_opened_here(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.persistence.save_all()
        snapshot = (await one.persistence.snapshot("ann", "cam")).state
    newer = put_newer(tmp_path)
    async with server(tmp_path) as two:
        for opened in (
            lambda: two.persistence.load("ann", "cam", opening=True),
            lambda: two.persistence.load("ann", "cam"),
            lambda: two.persistence.snapshot("ann", "cam"),
            lambda: two.persistence.restore("ann", snapshot),
        ):
            with pytest.raises(NewerFormat, match="newer version") as refused:
                await opened()
            assert refused.value.field == "session_id"
            assert two.running.sessions.counters.sessions == 0
        await two.frame(1, name="other")
        assert stored(tmp_path) == newer
        await two.persistence.save_all()


async def test_a_snapshot_of_a_newer_version_replaces_nothing(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        with pytest.raises(NewerFormat) as refused:
            await one.persistence.restore(
                "ann", SignedCodec(SECRET).dumps({"all": "new"}, {}, Subject("any", "x"), format=4)
            )
        assert refused.value.field == "state" and one.running.of(Closed) == []
        await one.persistence.save_all()


@pytest.mark.parametrize("learning", [True, False])
async def test_a_newer_version_takes_an_open_session_over(tmp_path: Path, learning: bool):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.persistence.save_all()
        with one.running.sessions.lease("ann", "cam") as stream:
            if learning:
                await one.frame(2)
            newer = put_newer(tmp_path)
            if learning:  # it is noticed at the next write
                await one.persistence.save_all()
            else:  # or when the session is asked for
                with pytest.raises(NewerFormat):
                    await one.frame(2)
            assert isinstance(await stream.wait_lost(9.0), NewerFormat)
        assert [closed.reason for closed in one.running.of(Closed)] == ["moved"]
        assert stored(tmp_path) == newer


async def test_closing_a_session_does_not_forget_what_a_newer_version_wrote(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.persistence.save_all()
        newer = put_newer(tmp_path)
        one.running.sessions.close("ann", "cam")
        await one.persistence.save_all()
        assert stored(tmp_path) == newer


async def test_unnamed_sessions_are_written_only_for_a_resume_token(tmp_path: Path):
    async with server(tmp_path) as one:
        with one.running.sessions.lease("ann") as stream:
            await one.frame(1, name=stream.session)
            await one.persistence.save_all()
            assert await FolderStore(tmp_path, 3600.0).epoch("ann", stream.session) == 0
            token = one.persistence.resume_token("ann", stream.session)
            await one.frame(2, name=stream.session)
        await one.persistence.save_all()
    async with server(tmp_path) as two:
        id, named = two.persistence.resume("ann", token)
        assert (id, named) == (stream.session, False)
        await two.persistence.load("ann", id, opening=True, named=named)
        with two.running.sessions.lease("ann", id, named) as again:
            assert (again.status().origin, again.status().frames) == ("restored", 2)
        await two.persistence.save_all()
        assert two.running.sessions.counters.sessions == 0 and await FolderStore(tmp_path, 3600.0).epoch("ann", id) == 0


async def test_tokens_of_others_are_refused(tmp_path: Path):
    async with server(tmp_path) as one, server(tmp_path, secret=b"another") as two:
        await one.frame(1)
        token, snapshot = (
            one.persistence.resume_token("ann", "cam"),
            (await one.persistence.snapshot("ann", "cam")).state,
        )
        for persistence, owner, blob in (
            (two.persistence, "ann", token),
            (one.persistence, "bob", token),
            (one.persistence, "ann", token[:-1]),
            (one.persistence, "ann", snapshot),
        ):
            with pytest.raises(BadRequest) as refused:
                persistence.resume(owner, blob)
            assert refused.value.field == "resume_token"
        with pytest.raises(BadRequest):
            await one.persistence.restore("ann", token)


async def test_restoring_a_snapshot_takes_the_session_over(tmp_path: Path):
    async with server(tmp_path, "a:1") as one, server(tmp_path, "b:1") as two:
        await one.frames(1, 2)
        await one.persistence.save_all()
        state = (await one.persistence.snapshot("ann", "cam")).state
        info = await two.persistence.restore("ann", state)
        assert (info.frames, info.epoch) == (2, 2)
        back = await one.frame(3)
        assert one.running.of(Closed) == [Closed("moved", 2)]
        assert (back.session.origin, one.running.sessions.get("ann", "cam").epoch) == ("restored", 3)


@pytest.mark.parametrize("where", ["here", "in the store"])
async def test_what_a_session_has_learnt_since_is_not_lost_unless_that_is_said(tmp_path: Path, where: str):
    async with server(tmp_path) as one:
        await one.frames(1, 2)
        saved = (await one.persistence.snapshot("ann", "cam")).state
        await one.persistence.restore("ann", saved, roll_back=False)  # nothing is lost
        await one.frame(3)
        await one.persistence.save_all()
        async with server(tmp_path) as two:
            restoring = one if where == "here" else two
            with pytest.raises(OlderSnapshot, match="has answered 3 frames and the snapshot 2: set roll_back"):
                await restoring.persistence.restore("ann", saved, roll_back=False)
            assert restoring.running.sessions.get("ann", "cam").frames == 3
            assert (await restoring.persistence.restore("ann", saved, roll_back=True)).frames == 2
            await restoring.frame(3)
            restoring.running.sessions.close("ann", "cam")
            await restoring.persistence.save_all()
            assert (await restoring.persistence.restore("ann", saved, roll_back=False)).frames == 2  # there is none


async def test_a_lesson_since_is_not_lost_either(tmp_path: Path):
    async with server(tmp_path) as one:
        await one.frame(1)
        saved = (await one.persistence.snapshot("ann", "cam")).state
        await one.running.teaching.teach("ann", "cam", LessonRequest(FrameRef(1), LABELS.names[0], None, EXACT))
        with pytest.raises(OlderSnapshot):
            await one.persistence.restore("ann", saved, roll_back=False)


class Gated(FolderStore):
    """Writes wait for the event `go`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 3600.0)
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    async def write(
        self, owner: str, session: str, stored: Stored, after: int, unanswered: Collection[bytes] = ()
    ) -> None:
        self.entered.set()
        await asyncio.wait_for(self.go.wait(), PATIENCE)
        await super().write(owner, session, stored, after, unanswered)


async def test_until_a_restored_snapshot_is_written_the_store_has_the_session_before(tmp_path: Path):
    store = Gated(tmp_path)
    async with server(store) as one:
        store.go.set()
        await one.frames(1, 2)
        await one.persistence.save("ann", "cam")
        early = (await one.persistence.snapshot("ann", "cam")).state
        await one.frame(3)
        await one.persistence.save("ann", "cam")
        store.go.clear()
        store.entered.clear()
        restoring = asyncio.create_task(one.persistence.restore("ann", early))
        await asyncio.wait_for(store.entered.wait(), PATIENCE)
        async with server(tmp_path) as two:  # the first one was killed
            assert (await two.frame(4)).session.frames == 4
        store.go.set()
        with pytest.raises(UnknownSession):  # another server has it
            await restoring


async def test_a_restored_snapshot_is_not_taken_for_an_old_copy_while_its_claim_waits(tmp_path: Path):
    store = Gated(tmp_path)
    async with server(store, "here:1") as one:
        store.go.set()
        await one.frames(1, 2)
        await one.persistence.save("ann", "cam")
        early = (await one.persistence.snapshot("ann", "cam")).state
        await one.frame(3)
        store.go.clear()
        store.entered.clear()
        writing = asyncio.create_task(one.persistence.save("ann", "cam"))
        await asyncio.wait_for(store.entered.wait(), PATIENCE)
        opening = asyncio.create_task(one.persistence.load("ann", "cam", opening=True))  # waits behind the write
        await asyncio.sleep(0)
        restoring = asyncio.create_task(one.persistence.restore("ann", early))  # and its claim behind both
        while one.running.sessions.get("ann", "cam").frames != 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        store.go.set()
        await asyncio.gather(writing, opening, restoring)
        assert (one.running.sessions.get("ann", "cam").frames, restoring.result().frames) == (2, 2)
        assert [closed.reason for closed in one.running.of(Closed)] == ["client"]
    async with server(tmp_path) as two:
        assert (await two.frame(3)).session.frames == 3


@contextmanager
def unmounted(folder: Path) -> Iterator[None]:
    """The folder is not there meanwhile."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    yield
    elsewhere.rename(folder)


async def test_no_session_is_lost_while_the_store_is_unreachable(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    store = FolderStore(tmp_path / "store", 3600.0)
    async with server(store) as one:
        await one.frame(1)
        with unmounted(tmp_path / "store"):
            await one.persistence.save_all()
            assert "No such file or directory" in caplog.text
            await one.persistence.load("ann", "cam", opening=True)  # open on this server: it goes on
            with pytest.raises(NotReady):
                await one.frame(1, name="unknown")
            while not store.breaker.is_open:  # noqa: ASYNC110
                await asyncio.sleep(0)
        while store.breaker.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert (await one.frame(2)).session.frames == 2
        await one.persistence.save_all()
        assert await store.epoch("ann", "cam") == 1


class Broken(FolderStore):
    """Writes fail in a way that nobody has thought of."""

    async def write(
        self, owner: str, session: str, stored: Stored, after: int, unanswered: Collection[bytes] = ()
    ) -> None:
        raise ZeroDivisionError


async def test_a_write_that_fails_is_logged_and_said_and_fails_no_reply(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with server(Broken(tmp_path, 3600.0)) as one:
        await one.frame(1)
        one.persistence.drain()
        await one.persistence.before_reply("ann", "cam")
        assert not await one.persistence.save_lessons("ann", "cam")
        assert "ZeroDivisionError" in caplog.text  # with its traceback


async def test_frames_in_progress_are_in_the_last_write(tmp_path: Path):
    async with server(tmp_path) as one:
        under_way = [asyncio.create_task(one.frame(number)) for number in range(6)]
        while one.running.sessions.counters.bytes == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)  # the first has been adapted, the others have their turns
        await one.persistence.save_all()
        await asyncio.gather(*under_way)
        await one.persistence.save_all()
    async with server(tmp_path) as two:
        assert (await two.frame(6)).session.frames == 7


async def test_a_caller_that_leaves_loses_no_write(tmp_path: Path):
    store = Gated(tmp_path)
    async with server(store) as one:
        await one.frame(1)
        saving = asyncio.create_task(one.persistence.save("ann", "cam"))
        await asyncio.wait_for(store.entered.wait(), PATIENCE)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        store.go.set()
        await one.persistence.save_all()
        assert saving.cancelled() and await store.epoch("ann", "cam") == 1


def count_sessions() -> int:
    gc.collect()
    return sum(type(one) is Session for one in gc.get_objects())


async def test_nothing_is_left_of_closed_sessions(tmp_path: Path):
    before = count_sessions()
    async with server(tmp_path, limits=MemoryLimits(sessions=3)) as one, server(tmp_path) as two:
        for number in range(12):
            name = f"cam{number % 6}"
            await one.frame(number, name=name)
            if number % 4 == 0:
                await one.persistence.save("ann", name)
            if number % 4 == 1:
                one.running.sessions.close("ann", name)
            if number % 4 == 2:
                await two.frame(number, name=name)
        one.running.sessions.close_all("client")
        two.running.sessions.close_all("client")
        for each in (one, two):
            await each.persistence.save_all()
            assert each.running.sessions.counters.bytes == 0
        assert count_sessions() <= before
