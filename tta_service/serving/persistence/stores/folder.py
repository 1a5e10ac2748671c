"""Sessions in a folder that several servers may share."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ....core.errors import NewerFormat
from ..signing import FORMAT
from .base import Stored, check_epoch, check_formats, name_of

log = logging.getLogger(__name__)


class FolderStore:
    """One file for each session, replaced as a whole. A lock on the folder makes compare-and-set atomic."""

    def __init__(self, folder: Path, keep: float) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        with self._lock():
            for file in folder.glob("*.session*"):
                if time.time() - file.stat().st_mtime > keep:
                    with suppress(NewerFormat):
                        _read(file)
                        file.unlink()

    def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        with self._lock():
            stored = _read(self._file(owner, session))
            if stored is None:
                return None
            taken = replace(stored, epoch=stored.epoch + 1, holder=holder)
            self._replace(owner, session, taken)
            return taken

    def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        with self._lock():
            check_epoch(_read(self._file(owner, session)), after)
            self._replace(owner, session, stored)

    def epoch(self, owner: str, session: str) -> int:
        with self._lock():
            stored = _read(self._file(owner, session))
        return stored.epoch if stored else 0

    def forget(self, owner: str, session: str, epoch: int) -> None:
        with self._lock():
            stored = _read(self._file(owner, session))
            if stored and stored.epoch <= epoch:
                self._file(owner, session).unlink()

    @contextmanager
    def _lock(self) -> Generator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, and when the process is killed
            yield

    def _replace(self, owner: str, session: str, stored: Stored) -> None:
        line = json.dumps({"format": FORMAT, "epoch": stored.epoch, "holder": stored.holder}).encode()
        file = self._file(owner, session)
        half = file.with_suffix(".session-half")
        with half.open("wb") as output:
            output.write(line + b"\n" + stored.state)
            output.flush()
            os.fsync(output.fileno())
        half.replace(file)

    def _file(self, owner: str, session: str) -> Path:
        return self._folder / f"{name_of(owner, session)}.session"


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
