"""Sessions in a folder that several servers may share."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TypeVar
from uuid import uuid4

from ....core.errors import NewerFormat
from ...concurrency import run
from ..signing import FORMAT
from .base import Store
from .faults import to_not_ready
from .folder_clock import FolderClock
from .folder_files import find_files, list_names, put_files, read_files, remove, version_of, write_file
from .records import DAMAGED, UNOWNED, Stored, check_formats, format_of_record, lifetime
from .signed_records import LIMIT, Change

T = TypeVar("T")
THREADS = 8  # changes at once
ASIDE = ".damaged"


class FolderStore(Store):
    """One file for each session, replaced as a whole, and a folder of such files for each lesson group.

    A lock on the folder makes compare-and-set atomic; it is held for a renaming, not for the disk.

    A state is deleted `keep` seconds after its last write, one with lessons `keep_taught`, by the clock of the folder:
    `wall()` without its jumps. Raises OSError when the folder cannot be made.
    """

    def __init__(
        self, folder: Path, keep: float, keep_taught: float = 0.0, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._keep, self._keep_taught = folder, keep, keep_taught
        self._threads = ThreadPoolExecutor(THREADS, "tta-store")
        self._clock = FolderClock(folder, keep / 2, wall)
        self._sweep()

    async def sweep(self) -> None:
        await self._in_thread(self._sweep)  # which may take long

    async def has_unowned(self) -> bool:
        return any(self._folder.glob(f"{UNOWNED}.session"))

    async def close(self) -> None:
        self.breaker.close()
        if self.counters:
            await self.counters.store.close()
        self._threads.shutdown(wait=not self.breaker.is_open)  # a disk that hangs holds its threads

    async def _probe(self) -> None:
        await self._in_thread(self._folder.stat)

    async def _replace(self, name: str, change: Change, limit: float) -> Stored | None:
        late = Event()
        try:
            return await self._run(self._change_file, self._folder / f"{name}.session", change, late, limit=limit)
        finally:
            late.set()

    def _change_file(self, file: Path, change: Change, late: Event) -> Stored | None:
        """Changes nothing once it is `late`: a later change may have been made."""
        self._folder.stat()  # without it nobody knows what is stored
        while True:
            version, stored = version_of(file), self._read(file)
            if (new := change(stored)) is stored:
                return new
            half = file.with_name(f".{file.name}.{uuid4().hex}")
            try:
                if new is not None:
                    write_file(half, self._clock.now(), _dump(new))
                with self._lock():
                    if late.is_set():
                        raise TimeoutError
                    if version_of(file) == version:  # else another server was faster, and its record is asked
                        file.unlink() if new is None else half.replace(file)
                        return new
            finally:
                half.unlink(missing_ok=True)

    async def _move_aside(self, name: str) -> None:
        await self._run(self._set_aside, self._folder / f"{name}.session")

    async def _session_names(self) -> Sequence[str]:
        return [file.stem for file in await self._run(find_files, self._folder, "*.session")]

    async def _group_names(self) -> Sequence[str]:
        return [records.stem for records in await self._run(find_files, self._folder, "*.lessons")]

    async def _drop_group(self, group: str) -> None:
        await self._in_folder(group, shutil.rmtree, None)

    async def _drop_aside(self) -> None:
        await self._run(lambda: [remove(file) for file in find_files(self._folder, f"*{ASIDE}")])

    async def names(self, group: str) -> set[str]:
        return await self._in_folder(group, lambda folder: list_names(folder, self._clock.now()), set())

    async def read(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        return await self._in_folder(group, lambda folder: read_files(folder, names), {})

    async def put(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> None:
        def put(folder: Path) -> None:
            self._folder.stat()  # a folder that is gone is not made anew: it may be a disk that will come back
            put_files(folder, self._clock.now(), records, gone)

        await self._run(put, self._folder / f"{group}.lessons")

    async def _in_folder(self, group: str, work: Callable[[Path], T], none: T) -> T:
        """What `work` gives in the folder of a group's records; `none` when there is no folder."""

        def work_there(records: Path) -> T:
            if records.is_file():
                self.count_damaged(records.name, NotADirectoryError())
                self._set_aside(records)
            try:
                return work(records)
            except FileNotFoundError:
                self._folder.stat()  # it is another matter when that is gone
                return none

        return await self._run(work_there, self._folder / f"{group}.lessons")

    async def _run(self, work: Callable[..., T], *given: object, limit: float = LIMIT) -> T:
        return await self.breaker.call(lambda: self._in_thread(work, *given), limit)

    async def _in_thread(self, work: Callable[..., T], *given: object) -> T:
        try:
            return await run(self._threads, work, *given)
        except OSError as error:
            raise to_not_ready(error) from error

    @contextmanager
    def _lock(self) -> Generator[None]:
        with self._clock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, and when the process is killed
            yield

    def _sweep(self) -> None:
        """Deletes what is too old, and what writers that were killed have left."""
        with self._lock():
            now = self._clock.advance()
        for file in [*self._folder.glob("*.session*"), *self._folder.glob("*.lessons*"), *self._folder.glob(".*.*")]:
            with suppress(FileNotFoundError, NewerFormat):  # another server sweeps too
                version, age = version_of(file), now - file.stat().st_mtime
                if age > self._lifetime(file, age):
                    with self._lock():
                        if version_of(file) == version:
                            remove(file)

    def _lifetime(self, file: Path, age: float) -> float:
        """Seconds that a file or folder of that age is kept. Raises `NewerFormat` for one that is not to be judged."""
        if file.suffix == ".lessons":
            return max(self._keep, self._keep_taught)
        if file.suffix != ".session" or age <= self._keep:
            return self._keep
        stored = self._read(file)
        return lifetime(stored.state, self._keep, self._keep_taught) if stored else self._keep

    def _read(self, file: Path) -> Stored | None:
        """None when there is no file, and for a damaged one, which is moved aside. Raises `NewerFormat`."""
        try:
            line, _, state = file.read_bytes().partition(b"\n")
            head = json.loads(line)
            check_formats(head.get("format", FORMAT), state)
            return Stored(
                int(head["epoch"]), str(head["holder"]), state, int(head.get("writes", 0)), str(head.get("seal", ""))
            )
        except FileNotFoundError:
            return None
        except (*DAMAGED, IsADirectoryError) as error:
            self.count_damaged(file.name, error)
            self._set_aside(file)
            return None

    def _set_aside(self, file: Path) -> None:
        aside = file.with_name(file.name + ASIDE)
        with self._lock(), suppress(FileNotFoundError):
            remove(aside)
            file.replace(aside)


def _dump(stored: Stored) -> bytes:
    head = {"format": format_of_record(stored), "epoch": stored.epoch, "holder": stored.holder}
    signed = {"writes": stored.writes, "seal": stored.signature} if stored.signature else {}
    return json.dumps(head | signed).encode() + b"\n" + stored.state
