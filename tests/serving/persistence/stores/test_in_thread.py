"""A store behind a lane: the same answers, and what it raises in the caller's words."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tta_service.core.errors import NotReady, SessionMoved
from tta_service.serving.persistence.stores.base import Stored
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.in_thread import AsyncStore


class Watched(FolderStore):
    """Notes who asks; its disk may go."""

    asked: frozenset[str] = frozenset()
    gone = False

    def _lock(self) -> Any:
        self.asked |= {threading.current_thread().name}
        if self.gone:
            raise OSError("the disk is gone")
        return super()._lock()


async def test_it_is_asked_in_its_lane_and_answers_as_it_is(tmp_path: Path):
    with ThreadPoolExecutor(1, "the-lane") as lane:
        kept = Watched(tmp_path, 3600.0)
        kept.asked = frozenset()
        store = AsyncStore(kept, lane)
        await store.write("ann", "cam", Stored(1, "a:1", b"state"), after=0)
        assert await store.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"state")
        assert await store.epoch("ann", "cam") == 2
        with pytest.raises(SessionMoved, match="b:1"):
            await store.write("ann", "cam", Stored(1, "a:1", b"late"), after=1)
        await store.forget("ann", "cam", 2)
        assert await store.claim("ann", "cam", "a:1") is None
        assert kept.asked == {"the-lane_0"}
        kept.gone = True
        with pytest.raises(NotReady, match="the disk is gone"):
            await store.claim("ann", "cam", "a:1")
