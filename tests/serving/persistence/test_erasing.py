"""What an owner's deletion says that the store had of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.serving.persistence.test_service import server
from tta_service.core.errors import NotReady
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.text.label_sets import LabelSets


async def test_records_that_go_with_open_sessions_are_counted(tmp_path: Path):
    async with server(tmp_path) as one:
        for name in ("cam", "door", "gate"):
            await one.frame(1, name)
        await one.persistence.save_all()
        one.running.sessions.registry.close(one.running.sessions.registry.find("ann", "door"), "capacity")
        await one.frame(1, "unwritten")
        eraser = one.persistence.make_eraser(LabelSets(one.running.text_spaces, 8))
        assert eraser.erase_here("ann").sessions == 3
        assert await eraser.erase_stored("ann") == 3
        assert (eraser.erase_here("ann").sessions, await eraser.erase_stored("ann")) == (0, 0)


async def test_what_is_deleted_between_two_attempts_is_counted_by_the_second(tmp_path: Path):
    (tmp_path / "there").mkdir()
    async with server(tmp_path / "there") as one:
        await one.frame(1)
        await one.persistence.save_all()
        eraser = one.persistence.make_eraser(LabelSets(one.running.text_spaces, 8))
        (tmp_path / "there").rename(tmp_path / "away")
        assert eraser.erase_here("ann").sessions == 1
        with pytest.raises(NotReady):
            await eraser.erase_stored("ann")
        (tmp_path / "away").rename(tmp_path / "there")
        while await FolderStore(tmp_path / "there", 3600.0).epoch("ann", "cam"):
            await one.persistence.save_all()
            await asyncio.sleep(0.01)
        assert await eraser.erase_stored("ann") == 1
