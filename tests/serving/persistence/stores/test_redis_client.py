"""URLs of Redis behind Sentinel."""

from __future__ import annotations

from typing import Any

import pytest

from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.redis_client import make_client

pytest.importorskip("redis", reason="redis is not installed")


def settings_of(client: Any) -> dict[str, Any]:
    given = client.connection_pool.connection_kwargs
    return {name: given[name] for name in ("username", "password", "db", "host", "port") if name in given}


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_the_master_has_the_login_and_the_sentinels_have_theirs(scheme: str):
    options = "sentinel_username=guard&sentinel_password=theirs"
    client = make_client(f"{scheme}+sentinel://ann:ours%21@one,two:26380,[::1]:7/cameras/3?{options}", 5.0)
    assert settings_of(client) == {"username": "ann", "password": "ours!", "db": 3}
    assert client.connection_pool.service_name == "cameras"
    sentinels = [settings_of(one) for one in client.connection_pool.sentinel_manager.sentinels]
    login = {"username": "guard", "password": "theirs", "db": 0}
    assert sentinels == [
        login | {"host": host, "port": port} for host, port in (("one", 26379), ("two", 26380), ("::1", 7))
    ]
    secure = "SSL" in client.connection_pool.connection_class.__name__
    assert secure == (scheme in ("rediss", "valkeys"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis+sentinel://one:26379", "the path names what the sentinels call the master"),
        ("redis+sentinel://one,,two/cameras", "each sentinel is HOST or HOST:PORT"),
        ("redis+sentinel://one:port/cameras", "one:port"),
        ("redis+sentinel://:hidden@one/", "is no address of a state store"),
        ("redis+sentinel://one/cameras/nine", "a database is a number, and 'nine' is none"),
        (
            "redis+sentinel://one/cameras?colour=red&sentinel_password=hidden",
            "is no address of a state store: .*'colour'",
        ),
        ("redis://:hidden@one?colour=red", "is no address of a state store: .*'colour'"),
    ],
)
async def test_what_is_no_address_is_said_without_its_password(url: str, sentence: str):
    with pytest.raises(OSError, match=sentence) as refused:
        await open_store(url, 60.0)
    assert "hidden" not in str(refused.value)
