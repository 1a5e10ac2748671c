"""What breaks in a store harms nobody: damaged records, clocks, disks, and stores that are slow or gone."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import redis_server
from tests.serving.persistence.stores.test_stores import Shared, SharedFolder, SharedRedis, share_fakeredis
from tests.serving.persistence.test_service import server
from tta_service.core.errors import NotReady
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.breaker import CircuitBreaker
from tta_service.serving.persistence.stores.faults import to_not_ready
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.records import Stored, name_of
from tta_service.serving.persistence.stores.signed_records import LIMIT, Change

DAY = 86400.0


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def as_file(content: bytes) -> Callable[[Shared], None]:
    def damage(shared: Shared) -> None:
        assert isinstance(shared, SharedFolder)
        shared.file.write_bytes(content)

    return damage


def as_folder(shared: Shared) -> None:
    assert isinstance(shared, SharedFolder)
    file = shared.file
    file.unlink()
    file.mkdir()
    (file / "something").touch()


def as_hash(**fields: Any) -> Callable[[Shared], None]:
    def damage(shared: Shared) -> None:
        assert isinstance(shared, SharedRedis)
        [key] = shared.client.keys("tta:session:*")
        shared.client.delete(key)
        shared.client.hset(key, mapping=fields)

    return damage


def as_string(shared: Shared) -> None:
    assert isinstance(shared, SharedRedis)
    [key] = shared.client.keys("tta:session:*")
    shared.client.set(key, b"x")


FILES = {
    "empty": as_file(b""),
    "truncated": as_file(b'{"epoch": 1, "hol'),
    "a list": as_file(b"[1]\nx"),
    "no holder": as_file(b'{"epoch": 1}\nx'),
    "no number": as_file(b'{"epoch": "one", "holder": ""}\nx'),
    "no finite number": as_file(b'{"epoch": 1e999, "holder": ""}\nx'),
    "garbage": as_file(os.urandom(100)),
    "deep": as_file(b"[" * 100_000),
    "a folder": as_folder,
}
KEYS = {
    "no epoch": as_hash(holder="a:1", state=b"x"),
    "no state": as_hash(epoch=1, holder="a:1"),
    "no number": as_hash(epoch="one", holder="a:1", state=b"x"),
    "garbage": as_hash(epoch=1, holder=b"\xff\xfe", state=b"x"),
    "a string": as_string,
}


@pytest.fixture(params=[*(f"file: {name}" for name in FILES), *(f"key: {name}" for name in KEYS)])
async def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with one record, which is damaged."""
    kind, _, name = request.param.partition(": ")
    shared: Shared = SharedFolder(tmp_path / "states") if kind == "file" else share_fakeredis()
    await shared.one.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    (FILES if kind == "file" else KEYS)[name](shared)
    yield shared
    await shared.one.close()
    await shared.two.close()


def names(shared: Shared) -> list[str]:
    if isinstance(shared, SharedRedis):
        return list(map(str, shared.client.keys("*")))
    assert isinstance(shared, SharedFolder)
    return [file.name for file in files(shared.folder, "*")]


async def test_a_damaged_record_is_as_good_as_none_and_moved_aside(damaged: Shared):
    assert await damaged.one.epoch("ann", "cam") <= 1  # the server that has the session keeps it
    assert await damaged.one.claim("ann", "cam", "b:1") is None
    assert await damaged.two.claim("ann", "cam", "b:1") is None
    assert damaged.one.damaged == 1 and damaged.two.damaged == 0
    assert len([name for name in names(damaged) if "damaged" in name]) == 1
    await damaged.one.write("ann", "cam", Stored(1, "a:1", b"y"), after=0)
    assert await damaged.two.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"y")


async def test_a_damaged_record_is_written_over_and_deleted_with_any_owner(damaged: Shared):
    await damaged.one.write("ann", "cam", Stored(3, "a:1", b"y"), after=2)
    assert await damaged.one.epoch("ann", "cam") == 3
    assert await damaged.one.erase(lambda record: False) == 0
    assert not [name for name in names(damaged) if "damaged" in name]
    await damaged.one.forget("ann", "cam", 3)
    assert await damaged.one.epoch("ann", "cam") == 0


@pytest.mark.parametrize("cut", [slice(0), slice(20), slice(40), slice(-1), slice(1, None)])
async def test_a_session_with_a_damaged_state_begins_anew(tmp_path: Path, cut: slice):
    async with server(tmp_path) as one:
        await one.frames(1, 2)
        await one.persistence.save_all()
    [file] = files(tmp_path, "*.session")
    head, _, state = file.read_bytes().partition(b"\n")
    file.write_bytes(head + b"\n" + state[cut])
    async with server(tmp_path) as two:
        assert (await two.frame(3)).session.origin == "fresh"
        assert two.persistence.store is not None and two.persistence.store.damaged == 1
        await two.persistence.save_all()
        two.running.sessions.close("ann", "cam")
        await two.persistence.save_all()
    assert [one.suffix for one in files(tmp_path, "*") if one.name != "lock"] == [".damaged"]


async def test_a_clock_that_jumps_deletes_nothing(tmp_path: Path):
    now = time.time()
    store = FolderStore(tmp_path, 3600.0, wall=lambda: now)
    await store.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    now += 400 * DAY
    await store.sweep()
    await FolderStore(tmp_path, 3600.0, wall=lambda: now).sweep()  # a server that starts then
    assert await store.epoch("ann", "cam") == 1
    await store.write("ann", "door", Stored(1, "a:1", b"x"), after=0)
    now -= 400 * DAY
    await FolderStore(tmp_path, 3600.0, wall=lambda: now).sweep()
    assert await store.epoch("ann", "cam") == await store.epoch("ann", "door") == 1


@pytest.mark.parametrize(
    "lock",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"now": null, "wall": 0}',
        b'{"now": NaN, "wall": 0}',
        b'{"now": 1e999, "wall": 0}',
    ],
    ids=lambda lock: lock[:9],
)
async def test_a_folder_without_a_clock_that_can_be_read_survives_a_jump(lock: bytes, tmp_path: Path):
    await FolderStore(tmp_path, 3600.0).write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    (tmp_path / "lock").write_bytes(lock)
    later = time.time() + 400 * DAY
    assert await FolderStore(tmp_path, 3600.0, wall=lambda: later).epoch("ann", "cam") == 1


async def test_a_folder_is_swept_while_it_is_in_use(tmp_path: Path):
    store = FolderStore(tmp_path, 60.0)
    for name in ("old", "new"):
        await store.write("ann", name, Stored(1, "a:1", b"x"), after=0)
    [old] = [file for file in files(tmp_path, "*.session") if file.stem == name_of("ann", "old")]
    left = tmp_path / f".{old.name}.0123"
    left.touch()
    for file in (old, left):
        os.utime(file, (time.time() - 90, time.time() - 90))
    await store.sweep()
    assert [await store.epoch("ann", name) for name in ("old", "new")] == [0, 1] and not left.exists()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """For as long as the block no file grows beyond that size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_said_once_and_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with server(tmp_path) as one:
        await one.frame(1)
        await one.frame(1, "door")
        store = one.persistence.store
        assert store is not None
        with full_disk(100):
            for number in (2, 3):
                await one.persistence.save_all()
                await one.frame(number)
            assert (await one.frame(1, "new")).session.origin == "fresh"  # unknown sessions begin as well
        assert caplog.text.count("was not written") == 1 and store.breaker.failures >= 3 and not store.breaker.is_open
        await one.persistence.save_all()
        assert [await store.epoch("ann", name) for name in ("cam", "door", "new")] == [1, 1, 1]
    assert not files(tmp_path, ".*")


async def test_a_folder_that_is_gone_is_found_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "there").mkdir()
    async with server(tmp_path / "there") as one:
        await one.frame(1)
        (tmp_path / "there").rename(tmp_path / "away")
        for number in (2, 3):
            await one.persistence.save_all()
            await one.frame(number)
        for name in ("unknown", "another"):
            with pytest.raises(NotReady) as refused:
                await one.frame(1, name)
            assert str(tmp_path) not in refused.value.message and "Errno" not in refused.value.message
        while not one.persistence.store.breaker.is_open:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert caplog.text.count("sessions go on without it") == 1 == caplog.text.count("was not written")
        assert caplog.text.count(f"[Errno 2] No such file or directory: '{tmp_path / 'there'}'") == 2  # with each
        assert len(caplog.records) == 2
        (tmp_path / "away").rename(tmp_path / "there")
        store = one.persistence.store
        assert store is not None
        while store.breaker.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await one.persistence.save_all()
        assert await store.epoch("ann", "cam") == 1


class FullForOne(FolderStore):
    """A disk with room for small sessions only."""

    async def _replace(self, name: str, change: Change, limit: float) -> Stored | None:
        if name == name_of("ann", "cam"):
            full = OSError(errno.ENOSPC, "No space left on device")
            raise to_not_ready(full) from full
        return await super()._replace(name, change, limit)


async def test_a_disk_that_takes_some_sessions_is_said_to_be_full_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with server(FullForOne(tmp_path, 3600.0)) as one:
        await one.persistence.groups.load("ann", "belt")  # type: ignore[union-attr]
        for number in (1, 2, 3):
            one.running.sessions.registry.obtain("ann", "cam").frames = number
            await one.frame(number, "door")
            await one.persistence.save_all(groups=True)
    assert [record.getMessage() for record in caplog.records] == [
        "session cam was not written; this will be tried again: [Errno 28] No space left on device"
    ]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/srv/store/x"), "the state store is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/srv/store/x"), "the state store is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/store/x"), "the state store may not be written"),
        (OSError(errno.EROFS, "Read-only file system", "/srv/store/x"), "the state store may not be written"),
        (OSError(errno.EIO, "Input/output error", "/srv/store/x"), "the state store does not answer: the server's"),
    ],
)
def test_a_caller_is_told_what_fails_and_not_where(error: OSError, sentence: str):
    message = to_not_ready(error).message
    assert message.startswith(sentence) and "/srv" not in message and str(error.strerror) not in message


@pytest.mark.parametrize("by", ["a later write", "the next request"])
async def test_a_session_that_is_closed_while_the_store_is_gone_does_not_come_back(tmp_path: Path, by: str):
    (tmp_path / "there").mkdir()
    async with server(tmp_path / "there") as one:
        await one.frame(1)
        await one.persistence.save_all()
        (tmp_path / "there").rename(tmp_path / "away")
        one.running.sessions.close("ann", "cam")
        await one.persistence.save_all()
        store = one.persistence.store
        assert store is not None
        while not store.breaker.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0)
        (tmp_path / "away").rename(tmp_path / "there")
        while store.breaker.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if by == "a later write":
            await one.persistence.save_all()
            assert await store.epoch("ann", "cam") == 0
        else:
            assert (await one.frame(2)).session.origin == "fresh"


class Late(FolderStore):
    """The first write is done, and its answer is lost."""

    lost = False

    async def write(
        self, owner: str, session: str, stored: Stored, after: int, unanswered: Collection[bytes] = ()
    ) -> None:
        await super().write(owner, session, stored, after, unanswered)
        if not self.lost:
            self.lost = True
            raise NotReady("it took too long")


async def test_a_write_whose_answer_is_lost_is_not_taken_for_one_of_another_server(tmp_path: Path):
    async with server(Late(tmp_path, 3600.0)) as one:
        await one.frame(1)
        await one.persistence.save_all()
        await one.frame(2)
        await one.persistence.save_all()
        assert one.running.sessions.get("ann", "cam").frames == 2
    async with server(tmp_path) as two:
        assert (await two.frame(3)).session.frames == 3


async def test_a_breaker_opens_after_a_slow_call_and_closes_when_a_probe_works():
    works = asyncio.Event()

    async def probe() -> None:
        if not works.is_set():
            raise NotReady("down")

    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    async def answer() -> int:
        return 7

    breaker = CircuitBreaker(probe, pause=0.01)
    assert await breaker.call(answer, 1.0) == 7
    with pytest.raises(NotReady, match=r"more than 0\.01 s"):
        await breaker.call(never, 0.01)
    while not breaker.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(NotReady):
            await breaker.call(answer, 1.0)
    assert time.monotonic() - began < 0.1 and breaker.is_open and breaker.failures == 1
    works.set()
    while breaker.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert await breaker.call(answer, 1.0) == 7


async def test_one_call_that_fails_in_a_store_that_works_opens_nothing():
    async def works() -> None: ...

    async def fails() -> None:
        raise NotReady("this one")

    breaker = CircuitBreaker(works)
    with pytest.raises(NotReady, match="this one"):
        await breaker.call(fails, 1.0)
    await asyncio.sleep(0.01)  # for the probe
    assert not breaker.is_open and breaker.failures == 1


@pytest.mark.slow
async def test_a_paused_redis_costs_a_known_session_next_to_nothing():
    with redis_server() as url:
        store = await open_store(url, 3600.0)
        async with server(store) as one:
            await one.frame(1)
            await one.persistence.save_all()
            pid = int((await store._client.info("server"))["process_id"])  # type: ignore[attr-defined]
            os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                await one.frame(2)  # it has learnt nothing since its last write, so the store is asked
                assert time.monotonic() - began < 3.0
                while not store.breaker.is_open:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                seconds = list[float]()
                for number in range(3, 20):
                    began = time.monotonic()
                    await one.frame(number)
                    await one.persistence.load("ann", "cam", opening=True)
                    with pytest.raises(NotReady):
                        await one.frame(1, "unknown")
                    seconds.append(time.monotonic() - began)
                assert max(seconds) < 0.5 < LIMIT
            finally:
                os.kill(pid, signal.SIGCONT)
            while store.breaker.is_open:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await one.persistence.save_all()
            assert await store.epoch("ann", "cam") == 1
            assert (await one.frame(1, "unknown")).session.origin == "fresh"
