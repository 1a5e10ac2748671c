"""A store whose calls run in a lane: the same results, and errors of the service's own."""

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


class Recording(FolderStore):
    """Records the threads that call it; can become unreachable."""

    threads: frozenset[str] = frozenset()
    gone = False

    def _lock(self) -> Any:
        self.threads |= {threading.current_thread().name}
        if self.gone:
            raise OSError("the disk is gone")
        return super()._lock()


async def test_it_is_called_in_its_lane_and_gives_the_same_results(tmp_path: Path):
    with ThreadPoolExecutor(1, "the-lane") as lane:
        folder = Recording(tmp_path, 3600.0)
        folder.threads = frozenset()
        store = AsyncStore(folder, lane)
        await store.write("ann", "cam", Stored(1, "a:1", b"state"), after=0)
        assert await store.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"state")
        assert await store.epoch("ann", "cam") == 2
        with pytest.raises(SessionMoved, match="b:1"):
            await store.write("ann", "cam", Stored(1, "a:1", b"late"), after=1)
        await store.forget("ann", "cam", 2)
        assert await store.claim("ann", "cam", "a:1") is None
        assert folder.threads == {"the-lane_0"}
        folder.gone = True
        with pytest.raises(NotReady, match="the disk is gone"):
            await store.claim("ann", "cam", "a:1")
