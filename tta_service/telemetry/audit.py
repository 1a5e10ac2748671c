"""The audit log: who changed what is taught, restored, allowed, switched or kept, and when. Lines of JSON, appended.

No picture, feature or secret is in it. Lines of several processes do not mix.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..core.errors import NotReady
from ..core.events import Audited
from . import Handlers

RETRY = 5.0  # seconds
WAITING = 10_000  # lines that wait for a disk that fails; further ones are lost
log = logging.getLogger(__name__)


class AuditLog:
    """Appends to a file that only its owner can read; there need not be one yet.

    Events are written in their order by a thread, and synced to the disk: an answer does not wait for that. Lines that
    cannot be written wait, the first failure is said, and all are counted in `failures`. `required`: until they are
    written, `check` refuses.
    """

    def __init__(self, path: Path, required: bool = False) -> None:
        """Raises OSError for a file that cannot be written."""
        self._path, self._required = path, required
        self._waiting, self._is_failing, self.failures = deque[bytes](), False, 0
        self._writing, self._woken, self._closing = threading.Lock(), threading.Event(), False
        os.close(self._open())
        self._thread: threading.Thread | None = None  # from the first line on
        self.handlers: Handlers = {Audited: self._on_event}

    def close(self) -> None:
        """Returns when all lines are written, or one more attempt has failed."""
        self._closing = True
        self._woken.set()
        if self._thread:
            self._thread.join()
        with suppress(OSError):  # for lines that came while it wrote others
            self.flush()

    def add(self, action: str, **about: Any) -> None:
        """One more line, which is soon written."""
        entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "action": action} | about
        if len(self._waiting) < WAITING:
            self._waiting.append(json.dumps(entry).encode() + b"\n")
        else:
            self.failures += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="tta-audit", daemon=True)
            self._thread.start()
        self._woken.set()

    def flush(self) -> None:
        """Writes all lines that wait. Raises OSError; they wait on then."""
        with self._writing:
            lines = list(self._waiting)
            try:
                if lines:
                    self._append(b"".join(lines))
            except OSError as error:
                self.failures += 1
                if not self._is_failing:
                    log.error("the audit log %s is not written: %s", self._path, error)
                self._is_failing = True
                raise
            if self._is_failing:
                log.warning("the audit log %s is written again", self._path)
            self._is_failing = False
            for _ in lines:
                self._waiting.popleft()

    @property
    def must_be_checked(self) -> bool:
        """Whether `check` has something to find out."""
        return self._required and self._is_failing

    def check(self) -> None:
        """Raises `NotReady` where the log is required and still cannot be written."""
        if self.must_be_checked:
            try:
                self.flush()
            except OSError:
                raise NotReady("the audit log cannot be written, and nothing is changed here without it") from None

    def _append(self, content: bytes) -> None:
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            try:
                if os.write(file, content) != len(content):
                    raise OSError("the disk took only a part of it")
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)  # it is written again as a whole
                raise
        finally:
            os.close(file)

    def _open(self) -> int:
        if self._path.exists() and not stat.S_ISREG(self._path.stat().st_mode):
            raise OSError(f"{self._path} is no file")
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _write_on(self) -> None:
        while not self._closing:
            self._woken.wait(RETRY if self._waiting else None)
            self._woken.clear()
            with suppress(OSError):  # it is in the log
                self.flush()

    def _on_event(self, event: Audited) -> None:
        who = {"owner": event.owner} | ({"key": event.key} if event.key else {})
        self.add(event.action, **who, **event.about)
