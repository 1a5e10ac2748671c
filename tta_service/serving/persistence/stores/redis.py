"""Sessions in Redis or Valkey."""

# pyright: reportUnknownMemberType=false
# (Redis's client is only partly typed)
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from ....core.errors import NotReady, Unsupported
from ....core.masking import without_secrets
from ..signing import FORMAT, check_format
from .base import UNOWNED, Change, Store, Stored, check_formats, lifetime, name_of

try:
    import redis
    import redis.asyncio
except ImportError:
    redis = None

T = TypeVar("T")
CONNECTIONS = 8  # at once: a server that stops writes all its sessions
TIMEOUT = 5.0  # seconds for a connection, and for each reply


class RedisStore(Store):
    """One hash for each session, and one for the records of each lesson group.

    That of a session expires `keep` seconds after its last write, with lessons `keep_taught`.

    Compare-and-set is WATCH … MULTI … EXEC, repeated when another server was faster.
    """

    def __init__(self, client: Any, keep: float, keep_taught: float = 0.0) -> None:
        self._client, self._keep = client, (keep, keep_taught)
        self._connections = asyncio.Semaphore(CONNECTIONS)

    @classmethod
    async def connect(cls, url: str, keep: float, keep_taught: float = 0.0) -> RedisStore:
        """Raises OSError when no server answers at that URL, `Unsupported` when Redis's client is not installed."""
        if redis is None:
            raise Unsupported("a state store in Redis needs its client: pip install tta-service[redis]")
        address = url.replace("valkey", "redis", 1)
        try:
            client = redis.asyncio.from_url(address, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
            await client.ping()
        except ValueError as error:
            raise OSError(without_secrets(f"{url} is no address of a state store: {error}", url)) from None
        except redis.RedisError as error:
            raise OSError(without_secrets(f"the state store does not answer: {error}", url)) from None
        return cls(client, keep, keep_taught)

    async def epoch(self, owner: str, session: str) -> int:
        """Asks for less than the whole record, whose state may be large."""
        key = _key(name_of(owner, session))
        epoch, format = await self._ask(lambda: self._client.hmget(key, "epoch", "format"))
        check_format(_number(format), newest=FORMAT)
        return int(epoch or 0)

    async def has_unowned(self) -> bool:
        async def find() -> bool:
            async for _ in self._client.scan_iter(_key(UNOWNED), 1000):
                return True
            return False

        return await self._ask(find)

    async def close(self) -> None:
        await self._client.aclose()

    async def names(self, group: str) -> set[str]:
        key, keep = _group_key(group), max(1, int(max(self._keep)))
        found, _ = await self._ask(lambda: self._client.pipeline().hkeys(key).expire(key, keep).execute())
        return {name.decode(errors="replace") for name in found}

    async def read(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        found = await self._ask(lambda: self._client.hmget(_group_key(group), names))
        return {name: record for name, record in zip(names, found, strict=True) if record is not None}

    async def put(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> None:
        def execute() -> Awaitable[Any]:
            key, pipe = _group_key(group), self._client.pipeline()
            if records:
                pipe.hset(key, mapping=dict(records))
            if gone:
                pipe.hdel(key, *gone)
            return pipe.expire(key, max(1, int(max(self._keep)))).execute()

        await self._ask(execute)

    async def _change(self, name: str, change: Change) -> Stored | None:
        return await self._ask(lambda: self._try_until_done(_key(name), change))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again, on a new connection, if the server has closed this one, which may have been idle for long."""
        try:
            async with self._connections:
                try:
                    return await ask()
                except redis.ConnectionError:  # type: ignore[union-attr]
                    return await ask()
        except redis.RedisError as error:  # type: ignore[union-attr]
            raise NotReady(f"the state store does not answer: {error}") from error

    async def _try_until_done(self, key: str, change: Change) -> Stored | None:
        async with self._client.pipeline() as pipe:
            while True:
                try:
                    return await self._try_change(pipe, key, change)
                except redis.WatchError:  # type: ignore[union-attr]
                    continue

    async def _try_change(self, pipe: Any, key: str, change: Change) -> Stored | None:
        await pipe.watch(key)
        stored = _to_stored(await pipe.hgetall(key))
        new = change(stored)
        if new is not stored:
            pipe.multi()
            if new is None:
                pipe.delete(key)
            else:
                pipe.hset(key, mapping={"format": FORMAT, "epoch": new.epoch, "holder": new.holder, "state": new.state})
                pipe.expire(key, max(1, int(lifetime(new.state, *self._keep))))
            await pipe.execute()
        return new


def _key(name: str) -> str:
    return f"tta:session:{name}"


def _group_key(name: str) -> str:
    return f"tta:lessons:{name}"


def _to_stored(fields: dict[bytes, bytes]) -> Stored | None:
    if not fields:
        return None
    check_formats(_number(fields.get(b"format")), fields.get(b"state", b""))
    return Stored(int(fields[b"epoch"]), fields[b"holder"].decode(), fields[b"state"])


def _number(format: bytes | None) -> str:
    return str(FORMAT) if format is None else format.decode(errors="replace")
