"""Lesson groups whose servers share a store: what one is taught, the others learn, once, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serving.harness import EXACT, LABELS, Harness, harness, make_image, make_request
from tta_service.core.errors import NotReady, UnknownGroup
from tta_service.core.lessons import ExampleRef, FrameRef, LessonRequest, LessonResult
from tta_service.core.request import Report
from tta_service.serving.persistence.service import SessionPersistence
from tta_service.serving.persistence.snapshots import Snapshots
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store
from tta_service.strategies.tip_adapter import TipAdapter

SECRET = b"a secret for tests"


@dataclass
class Server:
    running: Harness
    persistence: SessionPersistence
    store: Store

    async def see(self, session: str = "cam", seed: int = 1, group: str = "belt") -> Report:
        await self.persistence.load("ann", session, group=group)
        given = {"session": session, "group": group, "owner": "ann", "frame_id": seed, "explain": True}
        return await self.running.engine.classify(make_request(seed, TipAdapter(alpha=1000.0), **given))

    async def teach(self, about: Any, label: str | None, session: str = "", group: str = "belt") -> LessonResult:
        word = LessonRequest(about, label, None if isinstance(about, FrameRef | ExampleRef) else LABELS, EXACT)
        told = await self.running.teaching.teach("ann", session, word, "", "" if session else group)
        await self.persistence.save_lessons("ann", session, group)
        return told

    async def look(self) -> None:
        """What the server does every `sessions.group_seconds`."""
        assert self.persistence.groups
        await self.persistence.groups.sync_all()

    def lessons(self, group: str = "belt") -> list[str | None]:
        return sorted(str(one.label) for one in self.running.teaching.lessons("ann", "", group))


@asynccontextmanager
async def server(
    where: str, model: str = "model", secret: bytes = SECRET, former: Sequence[bytes] = (), adopt_owner: str = ""
) -> AsyncIterator[Server]:
    async with harness() as running:
        store = await open_store(where, 3600.0)
        parts = running.sessions, running.text_spaces, running.lanes
        snapshots = Snapshots(*parts, model, secret, adopt_owner=adopt_owner, former_secrets=former)
        persistence = SessionPersistence(running.sessions, snapshots, store)
        yield Server(running, persistence, store)
        await store.close()


async def test_a_group_that_nobody_was_taught_is_not_opened_by_a_look(where: str) -> None:
    async with server(where) as one:
        await one.persistence.load("ann", "", opening=True, group="belt")
        with pytest.raises(UnknownGroup):
            one.running.teaching.questions("ann", "", "belt")
        await one.see()
        await one.persistence.load("ann", "", opening=True, group="belt")
        assert one.running.teaching.questions("ann", "", "belt") == []  # a session is in it


def taught(report: Report) -> int:
    """How many lessons the memory has learnt."""
    assert report.explanation
    return round(report.explanation.notes["fill"] * len(LABELS.names) * TipAdapter().capacity)


def top(report: Report) -> str:
    return report.request.labels.names[int(report.logits.argmax())]


def list_records(store: Path) -> list[Path]:
    return list(store.glob("*.lessons/*"))


async def test_what_one_server_is_taught_the_other_learns_and_unlearns(where: str) -> None:
    async with server(where) as one, server(where) as two:
        await one.see("a")
        await two.see("b")
        told = await one.teach(FrameRef(1), "tree", "a")
        await two.look()
        assert top(answer := await two.see("b", 2)) == "tree" and taught(answer) == 1
        await two.look()
        assert taught(await two.see("b", 3)) == 1  # learnt once
        assert await two.running.teaching.unlearn("ann", "b", [told.example]) == ([told.example], ["tip_adapter"])
        assert await two.persistence.save_lessons("ann", "", "belt")
        await one.look()
        assert taught(await one.see("a", 4)) == 0 and one.lessons() == []
        await two.look()
        assert two.lessons() == []  # and it does not come back


async def test_a_correction_holds_on_every_server(where: str) -> None:
    async with server(where) as one, server(where) as two:
        told = await one.teach(make_image(3), "tree")
        await two.see("b")
        await two.teach(ExampleRef(told.example), "dog")
        await one.look()
        assert one.lessons() == two.lessons() == ["dog"]
        assert top(await one.see("a")) == "dog"


async def test_servers_that_teach_at_once_lose_nothing(where: str) -> None:
    async with server(where) as one, server(where) as two:
        labels = LABELS.names * 2
        words = [
            (each, make_image(10 * n + place), label)
            for place, label in enumerate(labels)
            for n, each in enumerate((one, two))
        ]
        await asyncio.gather(*(each.teach(image, label) for each, image, label in words))
        await one.look()
        await two.look()
        assert one.lessons() == two.lessons() == sorted(labels * 2)


async def test_a_groups_lessons_survive_the_end_of_all_its_servers(where: str) -> None:
    async with server(where) as one:
        await one.see("a")
        await one.teach(make_image(3), "tree")
        await one.persistence.save_all()
    async with server(where) as two:
        back = await two.see("a", 2, group="")  # its group is part of its state
        assert back.session.origin == "restored" and taught(back) == 1
        assert two.lessons() == ["tree"] and top(await two.see("new")) == "tree"


async def test_a_session_that_was_away_learns_what_it_missed_and_drops_what_was_taken_back(where: str) -> None:
    async with server(where) as one:
        for session in ("a", "b"):
            await one.see(session)
        told = await one.teach(make_image(3), "tree")
        await one.persistence.save_all()
    async with server(where) as two:
        await two.teach(make_image(4), "tree")
        assert taught(await two.see("a", 2, group="")) == 2
        await two.running.teaching.unlearn("ann", "", [told.example], "belt")
        back = await two.see("b", 2, group="")
        assert taught(back) == 1 and back.session.memory_reset


async def test_while_the_store_is_down_lessons_are_learnt_and_told_later(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    async with server(str(folder)) as one, server(str(folder)) as two:
        await one.see("a")
        folder.rename(tmp_path / "away")
        folder.write_text("no folder")
        with pytest.raises(NotReady):
            await one.store.names("belt")
        told = await one.teach(FrameRef(1), "tree", "a")
        assert told.learnt_by == ("tip_adapter",) and not await one.persistence.save_lessons("ann", "", "belt")
        await one.look()
        folder.unlink()
        (tmp_path / "away").rename(folder)
        assert one.persistence.groups
        async with asyncio.timeout(30):
            while one.persistence.groups.is_behind:  # until a probe has found the store again
                await one.look()
                await asyncio.sleep(0.02)
        assert top(await two.see("b")) == "tree"


async def test_a_damaged_record_and_anothers_secret_harm_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(str(tmp_path)) as one:
        await one.teach(make_image(3), "tree")
        (record,) = list_records(tmp_path)
        await one.teach(make_image(4), "dog")
        record.write_bytes(record.read_bytes()[:-5])
        (record.parent / "a note").write_text("not ours")
        with caplog.at_level(logging.WARNING):
            async with server(str(tmp_path)) as two:
                assert top(await two.see("b")) == "dog" and two.lessons() == ["dog"]
                await two.look()
            assert caplog.text.count("is damaged and left out") == 1
        async with server(str(tmp_path), secret=b"another") as three:
            assert taught(await three.see("c")) == 0
            await three.teach(make_image(5), "cat")
        await one.look()
        assert one.lessons() == ["dog", "tree"]


async def test_lessons_by_a_former_secret_are_written_anew_by_the_new_one(where: str) -> None:
    async with server(where) as one:
        told = await one.teach(make_image(3), "tree")
        await one.teach(make_image(4), "dog")
        await one.running.teaching.unlearn("ann", "", [told.example], "belt")
        await one.persistence.save_lessons("ann", "", "belt")
    async with server(where, secret=b"the next one", former=[SECRET]) as two:
        await two.persistence.load("ann", "", group="belt")
    async with server(where, secret=b"the next one") as three:
        await three.persistence.load("ann", "", group="belt")
        assert three.lessons() == ["dog"]
        assert await three.running.teaching.unlearn("ann", "", [told.example], "belt") == ([], [])


async def test_groups_of_other_owners_and_names_are_apart(where: str) -> None:
    async with server(where) as one, server(where) as two:
        await one.teach(make_image(3), "tree")
        assert taught(await two.see("b", group="gate")) == 0
        await two.persistence.load("bob", "", group="belt")
        with pytest.raises(UnknownGroup):
            two.running.teaching.lessons("bob", "", "belt")


async def test_a_group_from_before_owners_goes_to_the_one_who_adopts(where: str) -> None:
    async with server(where) as old:
        for seed in (3, 4):
            word = LessonRequest(make_image(seed), "tree", LABELS, EXACT)
            told = await old.running.teaching.teach("", "", word, "", "belt")
        assert await old.persistence.save_lessons("", "", "belt")
    async with server(where) as stranger:
        assert taught(await stranger.see()) == 0
    async with server(where, adopt_owner="ann") as mine:
        assert taught(await mine.see("new")) == 2
        await mine.running.teaching.unlearn("ann", "", [told.example], "belt")
        assert await mine.persistence.save_lessons("ann", "", "belt")
    async with server(where, adopt_owner="ann") as again:
        assert taught(await again.see("newer")) == 1  # what was taken back does not come back
    async with server(where) as after:
        assert taught(await after.see("newest")) == 1  # it is written anew


async def test_a_group_that_made_room_is_read_again(where: str) -> None:
    async with server(where) as one:
        await one.teach(make_image(3), "tree")
        groups = one.running.sessions.registry.groups
        groups.close(groups.find("ann", "belt"))
        assert taught(await one.see("new")) == 1
