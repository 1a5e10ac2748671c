"""Clients of Redis or Valkey by URL, of one server or of the master that Sentinel names."""

# pyright: reportUnknownMemberType=false
# (Redis's client is only partly typed)
from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

SENTINEL, SENTINEL_PORT = "+sentinel", 26379


def make_client(url: str, timeout: float) -> Any:
    """Of `redis://…`, or of the master in `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE[/DATABASE]`.

    Also rediss, valkey and valkeys. User and password are the master's; those of the sentinels are the options
    `sentinel_username` and `sentinel_password`. A connection, and each reply, may take `timeout` seconds. Raises
    ValueError for other URLs, ImportError without Redis's client.
    """
    from redis.asyncio import from_url

    address = url.replace("valkey", "redis", 1)
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if urlsplit(address).scheme.endswith(SENTINEL):
        return _find_master(address, options)
    return from_url(address, **options)


def _find_master(url: str, options: dict[str, Any]) -> Any:
    """Where the master is, the sentinels are asked for each new connection."""
    from redis.asyncio.connection import parse_url
    from redis.asyncio.sentinel import Sentinel

    parts, query = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("the path names what the sentinels call the master, as in redis+sentinel://a,b,c/mymaster")
    if database and not database.isdecimal():
        raise ValueError(f"a database is a number, and {database!r} is none")
    addresses = _parse_hosts(hosts)
    theirs = {name.removeprefix("sentinel_"): query.pop(name) for name in list(query) if name.startswith("sentinel_")}
    scheme = parts.scheme.removesuffix(SENTINEL)
    master: dict[str, Any] = dict(parse_url(f"{scheme}://{login}{at}master/{database}?{urlencode(query)}"))
    for name in ("host", "port", "connection_class"):
        master.pop(name, None)
    options |= {"ssl": True} if scheme == "rediss" else {}
    return Sentinel(addresses, sentinel_kwargs={**options, **theirs}).master_for(service, **{**options, **master})


def _parse_hosts(hosts: str) -> list[tuple[str, int]]:
    found = [urlsplit(f"//{host}") for host in hosts.split(",")]
    addresses = [(one.hostname, one.port or SENTINEL_PORT) for one in found if one.hostname]
    if len(addresses) < len(found):
        raise ValueError("each sentinel is HOST or HOST:PORT, with commas between them")
    return addresses
