"""A folder and Redis behave alike."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import redis_server
from tta_service.core.errors import NewerFormat, NotReady, SessionMoved
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store
from tta_service.serving.persistence.stores.faults import describe
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.records import Stored

TAUGHT = SignedCodec(b"a secret for tests").dumps(
    {}, {}, Subject("session", "ann", "cam"), lessons=True
)  # the state of a session with lessons


class Shared:
    """One store, opened by two servers."""

    def __init__(self, one: Store, two: Store) -> None:
        self.one, self.two = one, two

    def renumber(self, format: str) -> None:
        """The one record gets the number of another format."""
        raise NotImplementedError

    def content(self) -> Any:
        """All that is stored."""
        raise NotImplementedError


class SharedFolder(Shared):
    def __init__(self, folder: Path) -> None:
        super().__init__(FolderStore(folder, 3600.0), FolderStore(folder, 3600.0))
        self.folder = folder

    @property
    def file(self) -> Path:
        """Of the one record."""
        [file] = self.folder.glob("*.session")
        return file

    def renumber(self, format: str) -> None:
        _, _, state = self.file.read_bytes().partition(b"\n")
        self.file.write_bytes(json.dumps({"format": format, "anything": "else"}).encode() + b"\n" + state)

    def content(self) -> Any:
        return {file.name: file.read_bytes() for file in self.folder.iterdir()}


class SharedRedis(Shared):
    def __init__(self, one: Store, two: Store, client: Any) -> None:
        super().__init__(one, two)
        self.client = client

    def renumber(self, format: str) -> None:
        [key] = self.client.keys("*")
        self.client.delete(key)
        self.client.hset(key, mapping={"format": format, "anything": "else"})

    def content(self) -> Any:
        return {key: self.client.hgetall(key) for key in self.client.keys("*")}


def share_fakeredis() -> SharedRedis:
    """Without a server. Skips the test without fakeredis."""
    fake = pytest.importorskip("fakeredis", reason="fakeredis is not installed")
    from tta_service.serving.persistence.stores.redis import RedisStore

    server = fake.FakeServer()
    one, two = (RedisStore(fake.FakeAsyncRedis(server=server), 3600.0) for _ in range(2))
    return SharedRedis(one, two, fake.FakeRedis(server=server))


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["folder", "fakeredis", "redis"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    if request.param == "folder":
        shared = SharedFolder(tmp_path / "states")
    elif request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        shared = SharedRedis(await open_store(url, 3600.0), await open_store(url, 3600.0), make_empty(url))
    else:
        shared = share_fakeredis()
    yield shared
    await shared.one.close()
    await shared.two.close()


def connect(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url)


def make_empty(url: str) -> Any:
    client = connect(url)
    client.flushall()
    return client


async def test_records_without_an_owner_are_found(shared: Shared):
    assert not await shared.one.has_unowned()
    await shared.one.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    assert not await shared.two.has_unowned()
    await shared.one.write("", "cam", Stored(1, "a:1", b"x"), after=0)
    assert await shared.two.has_unowned() and await shared.one.epoch("ann", "cam") == 1


async def test_what_one_server_writes_another_takes_over(shared: Shared):
    one, two = shared.one, shared.two
    assert await one.claim("ann", "cam", "b:1") is None and await one.epoch("ann", "cam") == 0
    await one.write("ann", "cam", Stored(1, "a:1", b"first\n\x00"), after=0)
    await one.write("ann", "cam", Stored(1, "a:1", b"second\n\x00"), after=1)
    assert await two.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"second\n\x00")
    with pytest.raises(SessionMoved, match="moved to b:1"):
        await one.write("ann", "cam", Stored(1, "a:1", b"late"), after=1)
    await two.write("ann", "cam", Stored(2, "b:1", b"third"), after=2)
    assert await one.claim("ann", "cam", "a:1") == Stored(3, "a:1", b"third")


async def test_a_first_write_over_a_record_is_refused(shared: Shared):
    await shared.one.write("ann", "cam", Stored(4, "", b"x"), after=0)
    with pytest.raises(SessionMoved, match="another server"):
        await shared.two.write("ann", "cam", Stored(1, "a:1", b"y"), after=0)


async def test_owners_are_kept_apart(shared: Shared):
    await shared.one.write("ann", "cam", Stored(1, "", b"of ann"), after=0)
    assert await shared.one.claim("bob", "cam", "") is None and await shared.one.claim("", "anncam", "") is None


async def test_a_record_is_deleted_unless_its_epoch_is_later(shared: Shared):
    store = shared.one
    await store.write("ann", "cam", Stored(2, "", b"x"), after=0)
    await store.forget("ann", "cam", 1)
    assert await store.epoch("ann", "cam") == 2
    await store.forget("ann", "cam", 2)
    await store.forget("ann", "cam", 2)
    assert await store.epoch("ann", "cam") == 0
    await store.write("ann", "cam", Stored(2, "", b"again"), after=2)  # a deleted record is written again
    assert await store.epoch("ann", "cam") == 2


async def test_of_several_writes_at_once_one_succeeds(shared: Shared):
    await shared.one.write("", "cam", Stored(1, "", b"0"), after=0)

    async def attempt(store: Store) -> int:
        try:
            await store.write("", "cam", Stored(2, "", b"x"), after=1)
        except SessionMoved:
            return 0
        return 1

    servers = [shared.one, shared.two] * 4
    assert sum(await asyncio.gather(*map(attempt, servers))) == 1
    claims = await asyncio.gather(*(store.claim("", "cam", "") for store in servers))
    assert sorted(stored.epoch for stored in claims if stored) == list(range(3, 11))


async def refuse_all(store: Store) -> set[str]:
    """Asserts that every method refuses what a newer version wrote; returns their sentences."""
    sentences: set[str] = set()
    for call in (
        lambda: store.claim("ann", "cam", "a:1"),
        lambda: store.write("ann", "cam", Stored(1, "a:1", b"mine"), after=1),
        lambda: store.forget("ann", "cam", 9),
    ):
        with pytest.raises(NewerFormat) as error:
            await call()
        sentences.add(error.value.message)
    return sentences


@pytest.mark.parametrize("format", ["3", "17", "2.1", "next"])
async def test_a_record_of_a_newer_version_is_left_as_it_is(shared: Shared, format: str):
    await shared.one.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    shared.renumber(format)
    before = shared.content()
    [sentence] = await refuse_all(shared.two)
    assert "newer version" in sentence and f"format {format};" in sentence
    with pytest.raises(NewerFormat):
        await shared.two.epoch("ann", "cam")
    assert shared.content() == before
    await shared.two.write("ann", "other", Stored(1, "a:1", b"x"), after=0)  # its neighbour is as it was
    assert await shared.two.epoch("ann", "other") == 1


async def test_a_state_of_a_newer_version_is_left_as_it_is(shared: Shared):
    state = SignedCodec(b"any").dumps({"all": "new"}, {}, Subject("any", "ann"), format=4)
    await shared.one.write("ann", "cam", Stored(1, "a:1", state), after=0)
    before = shared.content()
    assert len(await refuse_all(shared.two)) == 1 and shared.content() == before


async def test_a_record_without_a_number_is_of_the_first_format(shared: Shared):
    await shared.one.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    if isinstance(shared, SharedFolder):
        shared.file.write_bytes(b'{"epoch": 1, "holder": "a:1"}\nx')
    elif isinstance(shared, SharedRedis):
        shared.client.hdel(shared.client.keys("*")[0], "format")
    assert await shared.two.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"x")


async def test_a_folder_does_not_forget_what_a_newer_version_wrote(tmp_path: Path):
    shared = SharedFolder(tmp_path)
    await shared.one.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    shared.renumber("3")
    os.utime(SharedFolder(tmp_path).file, (0, 0))
    before = shared.file.read_bytes()
    assert await refuse_all(FolderStore(tmp_path, 60.0)) and shared.file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 1}\nx', b"\xff\nx"])
async def test_a_truncated_file_counts_as_absent(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture):
    store = FolderStore(tmp_path, 60.0)
    await store.write("ann", "cam", Stored(3, "a:1", b"x"), after=0)
    SharedFolder(tmp_path).file.write_bytes(content)
    assert await store.claim("ann", "cam", "b:1") is None and "is damaged" in caplog.text
    await store.write("ann", "cam", Stored(1, "a:1", b"y"), after=0)
    assert await store.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"y")


async def test_a_folder_deletes_what_is_too_old(tmp_path: Path):
    await FolderStore(tmp_path, 60.0).write("", "cam", Stored(1, "", b"x"), after=0)
    os.utime(SharedFolder(tmp_path).file, (0, 0))
    assert await FolderStore(tmp_path, 60.0, 120.0).epoch("", "cam") == 0
    assert set(SharedFolder(tmp_path).content()) == {"lock"}


async def test_a_folder_keeps_sessions_with_lessons_for_longer(tmp_path: Path):
    await FolderStore(tmp_path, 60.0).write("", "cam", Stored(1, "", TAUGHT), after=0)
    os.utime(SharedFolder(tmp_path).file, (time.time() - 90,) * 2)
    assert await FolderStore(tmp_path, 60.0, 120.0).epoch("", "cam") == 1
    assert await FolderStore(tmp_path, 60.0, 80.0).epoch("", "cam") == 0


async def test_a_folder_uses_threads_of_its_own_and_names_what_is_wrong(tmp_path: Path):
    store, before = FolderStore(tmp_path / "store", 3600.0), set(threading.enumerate())
    await asyncio.gather(*(store.write("ann", f"cam{i}", Stored(1, "a:1", b"x"), after=0) for i in range(4)))
    assert {thread.name[:9] for thread in set(threading.enumerate()) - before} == {"tta-store"}
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(NotReady, match=r"^the state store does not answer: the server's log says why$") as gone:
        await store.claim("ann", "cam1", "a:1")
    assert describe(gone.value) == f"[Errno 2] No such file or directory: '{tmp_path / 'store'}'"
    await store.close()
    with pytest.raises(NotReady):
        await store.epoch("ann", "cam1")


async def test_nothing_counts_as_erased_in_a_folder_that_is_gone(tmp_path: Path):
    store = FolderStore(tmp_path / "store", 3600.0)
    await store.write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(NotReady):  # the first that notices
        await store.erase(lambda state: True)
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    await store.close()
    again = FolderStore(tmp_path / "store", 3600.0)
    assert await again.erase(lambda state: True) == 1
    await again.close()


@pytest.fixture
async def redis_store(redis_url: str) -> AsyncIterator[Store]:
    make_empty(redis_url).close()
    store = await open_store(redis_url, 60.0)
    yield store
    await store.close()


async def test_redis_deletes_what_is_too_old(redis_url: str, redis_store: Store):
    await redis_store.write("", "cam", Stored(1, "", b"x"), after=0)
    with connect(redis_url) as client:
        [key] = client.keys("*")
        assert 0 < client.ttl(key) <= 60
    taught = await open_store(redis_url, 60.0, 120.0)
    await taught.write("", "cam", Stored(1, "", TAUGHT), after=1)
    with connect(redis_url) as client:
        assert 60 < client.ttl(key) <= 120
    await taught.close()


async def test_a_connection_that_the_server_closed_is_opened_again(redis_url: str, redis_store: Store):
    await redis_store.write("", "cam", Stored(1, "", b"x"), after=0)
    with connect(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
        assert await redis_store.epoch("", "cam") == 1
        client.client_kill_filter(_type="normal", skipme=True)
        assert await redis_store.claim("", "cam", "b:1") == Stored(2, "b:1", b"x")


async def test_many_at_once_share_a_few_connections(redis_url: str, redis_store: Store):
    await asyncio.gather(*(redis_store.write("", f"{i}", Stored(i + 1, "", b"x"), after=0) for i in range(100)))
    assert await asyncio.gather(*(redis_store.epoch("", f"{i}") for i in range(100))) == list(range(1, 101))
    with connect(redis_url) as client:
        assert len(client.client_list()) < 20


async def test_a_cancelled_call_leaves_no_half_read_reply_to_the_next(redis_url: str):
    """A connection that went back to the pool with its reply unread would give it to the next caller."""
    make_empty(redis_url).close()
    async with slowed(redis_url, seconds=0.01) as url:
        store = await open_store(url, 60.0)
        for epoch, name in enumerate("abc", start=5):
            await store.write("", name, Stored(epoch, "", name.encode()), after=0)
        for step in range(1, 9):
            for call in (store.claim("", "a", "x:1"), store.epoch("", "a"), store.forget("", "a", 1)):
                leaving = asyncio.ensure_future(call)
                await asyncio.sleep(step * 0.011)
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
                assert await asyncio.gather(store.epoch("", "b"), store.epoch("", "c")) == [6, 7]
        assert (await store.claim("", "b", "b:1")) == Stored(7, "b:1", b"b")
        await store.close()


@asynccontextmanager
async def slowed(url: str, seconds: float) -> AsyncIterator[str]:
    """The URL of a proxy that passes everything on so many seconds later."""
    host, port = url.removeprefix("redis://").removesuffix("/0").split(":")
    writers: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(seconds)
            writer.write(data)
        writer.close()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        writers.extend((writer, back))
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)

    async with await asyncio.start_server(on_connect, "127.0.0.1") as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        for writer in writers:
            writer.close()


async def test_an_unreachable_redis_is_an_error_of_the_store():
    with redis_server() as url:
        store = await open_store(url, 60.0)
        await store.write("", "cam", Stored(1, "", b"x"), after=0)
    for call in (
        lambda: store.epoch("", "cam"),
        lambda: store.claim("", "cam", ""),
        lambda: store.forget("", "cam", 1),
    ):
        with pytest.raises(NotReady, match="the state store does not answer: "):
            await call()


async def test_a_full_redis_is_not_one_that_does_not_answer():
    with redis_server() as url, connect(url) as client:
        store = await open_store(url, 60.0)
        client.config_set("maxmemory", 1)
        with pytest.raises(NotReady, match=r"^the state store is full$") as full:
            await store.write("", "cam", Stored(1, "", b"x"), after=0)
        assert "maxmemory" in describe(full.value)
        await store.close()


async def test_a_wrong_password_is_refused_and_not_repeated():
    with redis_server() as url, connect(url) as client:
        client.config_set("requirepass", "right-one")
        address = url.removeprefix("redis://")
        for given in ("", ":wrong-one@"):
            with pytest.raises(OSError, match=r"store does not answer: .*([Aa]uthenticat|invalid)") as refused:
                await open_store(f"redis://{given}{address}", 60.0)
            assert "wrong-one" not in str(refused.value)
        store = await open_store(f"valkey://:right-one@{address}", 60.0)
        assert await store.epoch("", "cam") == 0
        await store.close()


async def test_a_store_that_does_not_exist_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        await open_store(str(tmp_path / "file"), 60.0)
    pytest.importorskip("redis", reason="redis is not installed")
    with pytest.raises(OSError, match="does not answer"):
        await open_store("redis://127.0.0.1:1/0", 60.0)
