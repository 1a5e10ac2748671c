"""A folder and Redis behave alike."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import redis_server
from tta_service.core.errors import NewerFormat, SessionMoved
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store, Stored
from tta_service.serving.persistence.stores.folder import FolderStore


class Shared:
    """One store for several servers, each of which opens it by a call."""

    def __init__(self, open: Callable[[], Store]) -> None:
        self._open = open

    def __call__(self) -> Store:
        return self._open()

    def renumber(self, format: str) -> None:
        """The one record gets the number of another format."""
        raise NotImplementedError

    def content(self) -> Any:
        """All that is stored."""
        raise NotImplementedError


class SharedFolder(Shared):
    def __init__(self, folder: Path) -> None:
        super().__init__(lambda: open_store(str(folder), 3600.0))
        self.folder = folder

    def renumber(self, format: str) -> None:
        [file] = self.folder.glob("*.session")
        _, _, state = file.read_bytes().partition(b"\n")
        file.write_bytes(json.dumps({"format": format, "anything": "else"}).encode() + b"\n" + state)

    def content(self) -> Any:
        return {file.name: file.read_bytes() for file in self.folder.iterdir()}


class SharedRedis(Shared):
    def __init__(self, open: Callable[[], Store], client: Any) -> None:
        super().__init__(open)
        self.client = client

    def renumber(self, format: str) -> None:
        [key] = self.client.keys("*")
        self.client.delete(key)
        self.client.hset(key, mapping={"format": format, "anything": "else"})

    def content(self) -> Any:
        return {key: self.client.hgetall(key) for key in self.client.keys("*")}


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["folder", "fakeredis", "redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    if request.param == "folder":
        yield SharedFolder(tmp_path / "states")
    elif request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        with make_empty(url) as client:
            yield SharedRedis(lambda: open_store(url, 3600.0), client)
    else:
        fake = pytest.importorskip("fakeredis", reason="fakeredis is not installed")
        from tta_service.serving.persistence.stores.redis import RedisStore

        server = fake.FakeServer()
        client = fake.FakeRedis(server=server)
        yield SharedRedis(lambda: RedisStore(fake.FakeRedis(server=server), 3600.0), client)


def make_empty(url: str) -> Any:
    import redis

    client = redis.Redis.from_url(url)
    client.flushall()
    return client


def test_what_one_server_writes_another_takes_over(shared: Shared):
    one, two = shared(), shared()
    assert one.claim("ann", "cam", "b:1") is None and one.epoch("ann", "cam") == 0
    one.write("ann", "cam", Stored(1, "a:1", b"first\n\x00"), after=0)
    one.write("ann", "cam", Stored(1, "a:1", b"second\n\x00"), after=1)
    assert two.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"second\n\x00")
    with pytest.raises(SessionMoved, match="moved to b:1"):
        one.write("ann", "cam", Stored(1, "a:1", b"late"), after=1)
    two.write("ann", "cam", Stored(2, "b:1", b"third"), after=2)
    assert one.claim("ann", "cam", "a:1") == Stored(3, "a:1", b"third")


def test_a_first_write_over_a_record_is_refused(shared: Shared):
    shared().write("ann", "cam", Stored(4, "", b"x"), after=0)
    with pytest.raises(SessionMoved, match="another server"):
        shared().write("ann", "cam", Stored(1, "a:1", b"y"), after=0)


def test_owners_are_kept_apart(shared: Shared):
    shared().write("ann", "cam", Stored(1, "", b"of ann"), after=0)
    assert shared().claim("bob", "cam", "") is None and shared().claim("", "anncam", "") is None


def test_a_record_is_deleted_unless_its_epoch_is_later(shared: Shared):
    store = shared()
    store.write("ann", "cam", Stored(2, "", b"x"), after=0)
    store.forget("ann", "cam", 1)
    assert store.epoch("ann", "cam") == 2
    store.forget("ann", "cam", 2)
    store.forget("ann", "cam", 2)
    assert store.epoch("ann", "cam") == 0
    store.write("ann", "cam", Stored(2, "", b"again"), after=2)  # a deleted record is written again
    assert store.epoch("ann", "cam") == 2


def test_of_several_writes_at_once_one_succeeds(shared: Shared):
    shared().write("", "cam", Stored(1, "", b"0"), after=0)

    def attempt(number: int) -> int:
        try:
            shared().write("", "cam", Stored(2, "", b"x"), after=1)
        except SessionMoved:
            return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
        claims = [stored.epoch for stored in pool.map(lambda _: shared().claim("", "cam", ""), range(8)) if stored]
    assert sorted(claims) == list(range(3, 11))


def refuse_all(store: Store) -> set[str]:
    """Asserts that every method refuses what a newer version wrote; returns their sentences."""
    sentences: set[str] = set()
    for call in (
        lambda: store.claim("ann", "cam", "a:1"),
        lambda: store.write("ann", "cam", Stored(1, "a:1", b"mine"), after=1),
        lambda: store.forget("ann", "cam", 9),
    ):
        with pytest.raises(NewerFormat) as error:
            call()
        sentences.add(error.value.message)
    return sentences


@pytest.mark.parametrize("format", ["2", "17", "2.1", "next"])
def test_a_record_of_a_newer_version_is_left_as_it_is(shared: Shared, format: str):
    shared().write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    shared.renumber(format)
    before = shared.content()
    [sentence] = refuse_all(shared())
    assert "newer version" in sentence and f"format {format};" in sentence
    with pytest.raises(NewerFormat):
        shared().epoch("ann", "cam")
    assert shared.content() == before
    shared().write("ann", "other", Stored(1, "a:1", b"x"), after=0)  # its neighbour is not touched by this
    assert shared().epoch("ann", "other") == 1


def test_a_state_of_a_newer_version_is_left_as_it_is(shared: Shared):
    state = SignedCodec(b"any").dumps({"all": "new"}, {}, format=2)
    shared().write("ann", "cam", Stored(1, "a:1", state), after=0)
    before = shared.content()
    assert len(refuse_all(shared())) == 1 and shared.content() == before


def test_a_record_without_a_number_is_of_the_first_format(shared: Shared):
    shared().write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    if isinstance(shared, SharedFolder):
        [file] = shared.folder.glob("*.session")
        file.write_bytes(b'{"epoch": 1, "holder": "a:1"}\nx')
    elif isinstance(shared, SharedRedis):
        shared.client.hdel(shared.client.keys("*")[0], "format")
    assert shared().claim("ann", "cam", "b:1") == Stored(2, "b:1", b"x")


def test_a_folder_does_not_forget_what_a_newer_version_wrote(tmp_path: Path):
    shared = SharedFolder(tmp_path)
    shared().write("ann", "cam", Stored(1, "a:1", b"x"), after=0)
    shared.renumber("2")
    [file] = tmp_path.glob("*.session")
    os.utime(file, (0, 0))
    before = shared.content()
    assert refuse_all(shared()) and shared.content() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 1}\nx', b"\xff\nx"])
def test_half_a_file_counts_as_none(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture):
    store = FolderStore(tmp_path, 60.0)
    store.write("ann", "cam", Stored(3, "a:1", b"x"), after=0)
    [file] = tmp_path.glob("*.session")
    file.write_bytes(content)
    assert store.claim("ann", "cam", "b:1") is None and "is damaged" in caplog.text
    store.write("ann", "cam", Stored(1, "a:1", b"y"), after=0)
    assert store.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"y")


def test_a_folder_deletes_what_is_too_old(tmp_path: Path):
    FolderStore(tmp_path, 60.0).write("", "cam", Stored(1, "", b"x"), after=0)
    [file] = tmp_path.glob("*.session")
    os.utime(file, (0, 0))
    assert FolderStore(tmp_path, 60.0).epoch("", "cam") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_redis_deletes_it_by_itself(redis_url: str):
    with make_empty(redis_url) as client:
        open_store(redis_url, 60.0).write("", "cam", Stored(1, "", b"x"), after=0)
        [key] = client.keys("*")
        assert 0 < client.ttl(key) <= 60


def test_an_unreachable_redis_is_an_error_of_the_store():
    with redis_server() as url:
        store = open_store(url, 60.0)
        store.write("", "cam", Stored(1, "", b"x"), after=0)
    for call in (
        lambda: store.epoch("", "cam"),
        lambda: store.claim("", "cam", ""),
        lambda: store.forget("", "cam", 1),
    ):
        with pytest.raises(OSError, match="does not answer"):
            call()


def test_a_store_that_is_not_there_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        open_store(str(tmp_path / "file"), 60.0)
    pytest.importorskip("redis", reason="redis is not installed")
    with pytest.raises(OSError, match="does not answer"):
        open_store("redis://127.0.0.1:1/0", 60.0)
