"""A folder and Redis keep the same promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.redis_server import redis_server
from tta_service.core.errors import SessionMoved
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store, Stored
from tta_service.serving.persistence.stores.folder import FolderStore

Open = Callable[[], Store]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["folder", "fakeredis", "redis"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Another server's door to the same store."""
    if request.param == "folder":
        return lambda: open_store(str(tmp_path / "states"), 3600.0)
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        emptied(url)
        return lambda: open_store(url, 3600.0)
    fake = pytest.importorskip("fakeredis", reason="fakeredis is not installed")
    from tta_service.serving.persistence.stores.redis import RedisStore

    shared = fake.FakeServer()
    return lambda: RedisStore(fake.FakeRedis(server=shared), 3600.0)


def emptied(url: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()


def test_what_one_server_writes_another_takes_over(door: Open):
    one, two = door(), door()
    assert one.claim("ann", "cam", "b:1") is None and one.epoch("ann", "cam") == 0
    one.write("ann", "cam", Stored(1, "a:1", b"first\n\x00"), after=0)
    one.write("ann", "cam", Stored(1, "a:1", b"second\n\x00"), after=1)
    assert two.claim("ann", "cam", "b:1") == Stored(2, "b:1", b"second\n\x00")
    with pytest.raises(SessionMoved, match="moved to b:1"):
        one.write("ann", "cam", Stored(1, "a:1", b"late"), after=1)
    two.write("ann", "cam", Stored(2, "b:1", b"third"), after=2)
    assert one.claim("ann", "cam", "a:1") == Stored(3, "a:1", b"third")


def test_a_first_write_over_what_is_held_is_refused(door: Open):
    door().write("ann", "cam", Stored(4, "", b"x"), after=0)
    with pytest.raises(SessionMoved, match="another server"):
        door().write("ann", "cam", Stored(1, "a:1", b"y"), after=0)


def test_owners_are_kept_apart(door: Open):
    door().write("ann", "cam", Stored(1, "", b"hers"), after=0)
    assert door().claim("bob", "cam", "") is None and door().claim("", "anncam", "") is None


def test_only_the_holder_may_forget(door: Open):
    store = door()
    store.write("ann", "cam", Stored(2, "", b"x"), after=0)
    store.forget("ann", "cam", 1)
    assert store.epoch("ann", "cam") == 2
    store.forget("ann", "cam", 2)
    store.forget("ann", "cam", 2)
    assert store.epoch("ann", "cam") == 0
    store.write("ann", "cam", Stored(2, "", b"again"), after=2)  # what somebody deleted is written anew
    assert store.epoch("ann", "cam") == 2


def test_of_many_that_write_at_once_one_wins_each_round(door: Open):
    door().write("", "cam", Stored(1, "", b"0"), after=0)

    def attempt(number: int) -> int:
        try:
            door().write("", "cam", Stored(2, "", b"x"), after=1)
        except SessionMoved:
            return 0
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
        claims = [held.epoch for held in pool.map(lambda _: door().claim("", "cam", ""), range(8)) if held]
    assert sorted(claims) == list(range(3, 11))


def test_a_folder_forgets_what_is_too_old(tmp_path: Path):
    FolderStore(tmp_path, 60.0).write("", "cam", Stored(1, "", b"x"), after=0)
    [file] = tmp_path.glob("*.session")
    os.utime(file, (0, 0))
    assert FolderStore(tmp_path, 60.0).epoch("", "cam") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_redis_forgets_by_itself(redis_url: str):
    import redis

    emptied(redis_url)
    open_store(redis_url, 60.0).write("", "cam", Stored(1, "", b"x"), after=0)
    with redis.Redis.from_url(redis_url) as client:
        [key] = client.keys("*")
        assert 0 < client.ttl(key) <= 60


def test_a_redis_that_has_gone_away_is_an_error_of_the_store():
    with redis_server() as url:
        store = open_store(url, 60.0)
        store.write("", "cam", Stored(1, "", b"x"), after=0)
    for asked in (
        lambda: store.epoch("", "cam"),
        lambda: store.claim("", "cam", ""),
        lambda: store.forget("", "cam", 1),
    ):
        with pytest.raises(OSError, match="does not answer"):
            asked()


def test_a_store_that_is_not_there_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        open_store(str(tmp_path / "file"), 60.0)
    pytest.importorskip("redis", reason="redis is not installed")
    with pytest.raises(OSError, match="does not answer"):
        open_store("redis://127.0.0.1:1/0", 60.0)
