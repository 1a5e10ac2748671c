"""The clock of a folder: it runs while a server uses the folder, and does not jump when the machine's does."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .records import DAMAGED


class FolderClock:
    """Unix seconds from which jumps are left out, kept in the folder's lock file for all servers of the folder.

    Between two calls of `advance` it goes on by as much as `wall()` has, but by no more than this process has lived;
    before the first one by no more than `pause`. So what a record has of its time is never over at once.
    """

    def __init__(self, folder: Path, pause: float, wall: Callable[[], float]) -> None:
        self._folder, self._pause, self._wall = folder, pause, wall
        self._now, self._read_at = wall(), time.monotonic()
        self._is_new = True

    def now(self) -> float:
        """Unix seconds of this clock; any thread may ask."""
        return self._now + time.monotonic() - self._read_at

    def open(self) -> IO[str]:
        """The lock file, for a `with` block. A disk that may not be written can be locked all the same."""
        try:
            return (self._folder / "lock").open("a+")
        except OSError:
            return (self._folder / "lock").open()

    def advance(self) -> float:
        """The time, written down. The caller holds the lock."""
        wall, alive = self._wall(), time.monotonic()
        most = self._pause if self._is_new else alive - self._read_at
        now, written = self._load(wall)
        self._now, self._read_at, self._is_new = now + min(max(0.0, wall - written), most), alive, False
        try:
            with (self._folder / "lock").open("r+") as file:
                file.truncate()
                json.dump({"now": self._now, "wall": wall}, file)
        except OSError:
            pass  # nothing can be written or deleted there
        return self._now

    def _load(self, wall: float) -> tuple[float, float]:
        """The time that was written last, and the one of the wall then."""
        try:
            written = json.loads((self._folder / "lock").read_text())
            times = float(written["now"]), float(written["wall"])
            if not all(map(math.isfinite, times)):
                raise ValueError
            return times
        except (OSError, *DAMAGED):
            newest = max((one.stat().st_mtime for one in os.scandir(self._folder) if one.name != "lock"), default=wall)
            return (newest, newest) if newest < wall else (wall, wall)
