"""Events that wait for their sink, on disk, and the thread that delivers them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..protocol.reconnect import Backoff
from .masking import mask_secrets
from .sinks import Sink
from .text import to_slug

CAPACITY = 100_000  # events, some 50 MB, of which the oldest are given up
NUMBERS = 64  # processes that use the same sink for cameras of one name
log = logging.getLogger("tta_client")


def find_spool_folder(given: str = "") -> Path:
    """The folder named, else the user's own for the state of programs."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(os.path.expanduser(given)) if given else Path(state) / "tta-camera"


class Spool:
    """A bounded queue of events in a file, which this process alone may use and the next one goes on with.

    A file that another process holds is passed over for the next number; one that is damaged is moved aside. Raises
    OSError if none can be written.
    """

    def __init__(self, folder: Path, camera: str, text: str, capacity: int = CAPACITY) -> None:
        self._capacity, self.given_up = capacity, 0
        self._lock = threading.Lock()
        name = to_slug(camera, "_.") + "-" + hashlib.sha256(text.encode()).hexdigest()[:12]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path, self._database = _open_free(folder, name)
        except (sqlite3.Error, OSError) as error:
            raise OSError(f"--spool {folder}: {error}") from None
        (self._count,) = self._database.execute("SELECT count(*) FROM events").fetchone()

    def __len__(self) -> int:
        return self._count

    def put(self, event: Mapping[str, Any]) -> None:
        """Raises sqlite3.Error when the disk takes no more."""
        with self._lock:
            self._database.execute("INSERT INTO events (body) VALUES (?)", (json.dumps(event),))
            self._count += 1
            if self._count > self._capacity:
                self._database.execute("DELETE FROM events WHERE place = (SELECT min(place) FROM events)")
                self._count, self.given_up = self._count - 1, self.given_up + 1

    def peek(self, number: int) -> tuple[int, list[dict[str, Any]]]:
        """The oldest events, at most so many, and the place of the last of them."""
        with self._lock:
            rows = self._database.execute("SELECT place, body FROM events ORDER BY place LIMIT ?", (number,)).fetchall()
        return (rows[-1][0] if rows else 0), [json.loads(body) for _, body in rows]

    def drop(self, place: int) -> None:
        """Forgets the events up to that place."""
        with self._lock:
            self._count -= self._database.execute("DELETE FROM events WHERE place <= ?", (place,)).rowcount

    def close(self) -> None:
        """Lets another process have the file."""
        with self._lock:
            self._database.close()


def _open_free(folder: Path, name: str) -> tuple[Path, sqlite3.Connection]:
    for number in range(NUMBERS):
        path = folder / f"{name}{f'-{number + 1}' if number else ''}.spool"
        with suppress(BlockingIOError):
            try:
                return path, _open(path)
            except sqlite3.DatabaseError as error:
                if "not a database" not in str(error) and "malformed" not in str(error):
                    raise
                log.warning("%s is damaged; it is moved to %s.damaged", path, path.name)
                path.replace(f"{path}.damaged")
                return path, _open(path)
    raise OSError(f"{NUMBERS} processes use {name}.spool")


def _open(path: Path) -> sqlite3.Connection:
    """Raises BlockingIOError if another process has it."""
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")  # held until the connection or the process ends
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")  # survives the process, and nearly always the machine
        database.execute("CREATE TABLE IF NOT EXISTS events (place INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT)")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise BlockingIOError from None
        raise
    return database


class Outbox:
    """Takes events without waiting, and delivers them in their order, each at least once, however long that takes.

    A sink that fails is tried again after growing pauses. What has not left when the process ends is delivered by the
    next one.
    """

    def __init__(self, sink: Sink, spool: Spool, name: str) -> None:
        self._sink, self._spool, self._name = sink, spool, name
        self._changed, self._ending, self._deadline = threading.Event(), threading.Event(), 0.0
        self._failing = self._full = False
        self._thread = threading.Thread(target=self._deliver_all, name="tta-camera-sink", daemon=True)
        self._thread.start()

    def put(self, event: Mapping[str, Any]) -> None:
        """Never raises: a disk that is full is reported, and loses the event."""
        try:
            self._spool.put(event)
        except sqlite3.Error as error:
            log.warning("sink %s: an event is lost, its spool cannot be written: %s", self._name, error)
            return
        if self._spool.given_up and not self._full:
            self._full = True
            log.warning("sink %s: its spool is full, the oldest events are given up", self._name)
        self._changed.set()

    def end(self, seconds: float = 5.0) -> None:
        """Takes no more events, and gives those that wait so many seconds to leave, without waiting for them."""
        self._deadline = time.monotonic() + seconds
        self._ending.set()
        self._changed.set()

    def close(self, seconds: float = 5.0) -> None:
        """Ends and waits."""
        if not self._ending.is_set():
            self.end(seconds)
        self._thread.join(max(0.0, self._deadline - time.monotonic()) + 0.5)
        if waiting := len(self._spool):
            log.warning("sink %s: %d events wait in %s for the next start", self._name, waiting, self._spool.path)

    def _deliver_all(self) -> None:
        backoff = Backoff(0.5, 30.0)
        with closing(self._spool), _closing(self._sink):
            while True:
                self._changed.clear()
                if not len(self._spool):
                    if self._ending.is_set():
                        return
                    self._changed.wait()
                elif self._deliver_next():
                    backoff.reset()
                elif self._ending.wait(backoff.pause()):
                    if time.monotonic() > self._deadline:
                        return
                    time.sleep(0.1)

    def _deliver_next(self) -> bool:
        """Whether the oldest events have left. Those that the spool cannot forget are delivered again."""
        try:
            place, events = self._spool.peek(self._sink.batch)
            self._sink.deliver(events)
            self._spool.drop(place)
        except Exception as error:  # libraries raise errors of many types, as a full disk does, and none stops a camera
            if not self._failing:
                log.warning(
                    "sink %s fails: %s; events wait in %s", self._name, mask_secrets(str(error)), self._spool.path
                )
            self._failing = True
            return False
        if self._failing:
            log.warning("sink %s works again", self._name)
        self._failing = False
        return True


@contextmanager
def _closing(sink: Sink) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):
            sink.close()
