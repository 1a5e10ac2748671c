"""Sessions in a folder that several servers may share."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from ....core.errors import NewerFormat, NotReady
from ...concurrency import run
from ..signing import FORMAT
from .base import UNOWNED, Change, Store, Stored, check_formats, lifetime

log = logging.getLogger(__name__)


class FolderStore(Store):
    """One file for each session, replaced as a whole. A lock on the folder makes compare-and-set atomic.

    A state is deleted when the folder is opened `keep` seconds after its last write, one with lessons `keep_taught`.
    Raises OSError when the folder cannot be made. Later work runs in a thread of its own.
    """

    def __init__(self, folder: Path, keep: float, keep_taught: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._thread = folder, ThreadPoolExecutor(1, "tta-store")
        with self._lock():
            for file in folder.glob("*.session*"):
                if (age := time.time() - file.stat().st_mtime) > keep:
                    with suppress(NewerFormat):
                        stored = _read(file)
                        if stored is None or age > lifetime(stored.state, keep, keep_taught):
                            file.unlink()

    async def has_unowned(self) -> bool:
        return any(self._folder.glob(f"{UNOWNED}.session"))

    async def close(self) -> None:
        self._thread.shutdown()

    async def _change(self, name: str, change: Change) -> Stored | None:
        try:
            return await run(self._thread, self._change_file, self._folder / f"{name}.session", change)
        except OSError as error:
            raise NotReady(str(error)) from error

    def _change_file(self, file: Path, change: Change) -> Stored | None:
        with self._lock():
            stored = _read(file)
            new = change(stored)
            if new is None and stored is not None:
                file.unlink()
            elif new is not None and new is not stored:
                _replace(file, new)
            return new

    @contextmanager
    def _lock(self) -> Generator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, and when the process is killed
            yield


def _replace(file: Path, stored: Stored) -> None:
    line = json.dumps({"format": FORMAT, "epoch": stored.epoch, "holder": stored.holder}).encode()
    half = file.with_suffix(".session-half")
    with half.open("wb") as output:
        output.write(line + b"\n" + stored.state)
        output.flush()
        os.fsync(output.fileno())
    half.replace(file)


def _read(file: Path) -> Stored | None:
    """None when there is no file, or only half of one. Raises `NewerFormat`."""
    with suppress(FileNotFoundError):
        line, _, state = file.read_bytes().partition(b"\n")
        try:
            head = json.loads(line)
            check_formats(head.get("format", FORMAT), state)
            return Stored(head["epoch"], head["holder"], state)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("%s is damaged and counts as none: %r", file, error)
    return None
