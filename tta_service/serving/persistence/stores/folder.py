"""Sessions in a folder that several servers may share."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from ....core.errors import NewerFormat, NotReady
from ...concurrency import run
from ..signing import FORMAT
from .base import UNOWNED, Change, Store, Stored, check_formats, lifetime

T = TypeVar("T")
log = logging.getLogger(__name__)


class FolderStore(Store):
    """One file for each session, replaced as a whole, and a folder of such files for each lesson group.

    A lock on the folder makes compare-and-set atomic.

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

            for records in folder.glob("*.lessons"):
                if time.time() - records.stat().st_mtime > max(keep, keep_taught):
                    shutil.rmtree(records, ignore_errors=True)

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

    async def names(self, group: str) -> set[str]:
        def list_names(folder: Path) -> set[str]:
            os.utime(folder)
            return {file.name for file in folder.iterdir()}

        return await self._in_folder(group, list_names, set())

    async def read(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        def read(folder: Path) -> dict[str, bytes]:
            found = dict[str, bytes]()
            for name in names:
                with suppress(FileNotFoundError):
                    found[name] = (folder / name).read_bytes()
            return found

        return await self._in_folder(group, read, {})

    async def put(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> None:
        def put(folder: Path) -> None:
            folder.mkdir(exist_ok=True, mode=0o700)
            for name, record in records.items():
                _write(folder / name, folder / f".{name}.{uuid4().hex}", record)
            for name in gone:
                (folder / name).unlink(missing_ok=True)

        await self._in_folder(group, put, None)

    async def _in_folder(self, group: str, work: Callable[[Path], T], none: T) -> T:
        """What `work` gives in the folder of a group's records; `none` when there is no folder."""
        try:
            return await run(self._thread, work, self._folder / f"{group}.lessons")
        except FileNotFoundError:
            return none
        except OSError as error:
            raise NotReady(str(error)) from error

    @contextmanager
    def _lock(self) -> Generator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, and when the process is killed
            yield


def _replace(file: Path, stored: Stored) -> None:
    line = json.dumps({"format": FORMAT, "epoch": stored.epoch, "holder": stored.holder}).encode()
    _write(file, file.with_suffix(".session-half"), line + b"\n" + stored.state)


def _write(file: Path, half: Path, content: bytes) -> None:
    with half.open("wb") as output:
        output.write(content)
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
