"""Sessions in Redis or Valkey."""

# pyright: reportUnknownMemberType=false
# (Redis's client is only partly typed)
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ....core.errors import Unsupported
from ....core.masking import without_secrets
from .base import Store
from .records import DAMAGED, UNOWNED, Stored, lifetime, name_of
from .redis_client import make_client
from .redis_records import HEAD, WrongType, dump_record, group_key_of, key_of, parse_record, to_fault
from .signed_records import LIMIT, SOON, Change

try:
    import redis
except ImportError:
    redis = None

T = TypeVar("T")
ASIDE = "tta:damaged:"  # before the key of a damaged record
CONNECTIONS = 8  # at once: a server that stops writes all its sessions
TIMEOUT = 5.0  # seconds for a connection, and for each reply


class RedisStore(Store):
    """One hash for each session, and one for each lesson group.

    That of a session expires `keep` seconds after its last write, with lessons `keep_taught`. Compare-and-set is WATCH
    … MULTI … EXEC, repeated when another server was faster.
    """

    def __init__(self, client: Any, keep: float, keep_taught: float = 0.0) -> None:
        from .channel import RedisChannel

        super().__init__()
        self._client, self._keep, self.channel = client, (keep, keep_taught), RedisChannel(client)
        self._connections = asyncio.Semaphore(CONNECTIONS)

    @classmethod
    async def connect(cls, url: str, keep: float, keep_taught: float = 0.0) -> RedisStore:
        """Raises OSError when no server answers at that URL, `Unsupported` when Redis's client is not installed."""
        if redis is None:
            raise Unsupported("a state store in Redis needs its client: pip install '.[redis]' in a checkout")
        try:
            client = make_client(url, TIMEOUT)
            await client.ping()
        except (ValueError, TypeError) as error:  # the latter for an option that the client does not know
            raise OSError(without_secrets(f"{url} is no address of a state store: {error}", url)) from None
        except redis.RedisError as error:
            raise OSError(without_secrets(f"the state store does not answer: {error}", url)) from None
        return cls(client, keep, keep_taught)

    async def epoch(self, owner: str, session: str) -> int:
        """Asks for less than the whole record, whose state may be large, unless its signature says nothing."""
        name = name_of(owner, session)
        try:
            fields = await self._ask(lambda: self._client.hmget(key_of(name), HEAD), SOON)
            *about, mac = fields
            head = parse_record(dict(zip(HEAD, about)) | {b"state": mac or b""}) if any(fields) else None
        except (*DAMAGED, WrongType):
            return 0  # whoever takes it over moves it aside
        if self.signer and head:
            if not self.signer.knows(head):
                return await super().epoch(owner, session)
            return head.epoch if self.signer.verify(name, head) else 0
        return head.epoch if head else 0

    async def has_unowned(self) -> bool:
        async def find() -> bool:
            async for _ in self._client.scan_iter(key_of(UNOWNED), 1000):
                return True
            return False

        return await self._ask(find)

    async def close(self) -> None:
        self.breaker.close()
        if self.counters:
            await self.counters.store.close()
        await self._client.aclose()

    async def _probe(self) -> None:
        await self._ask_once(self._client.ping)

    async def _session_names(self) -> Sequence[str]:
        return await self._find(key_of)

    async def _group_names(self) -> Sequence[str]:
        return await self._find(group_key_of)

    async def _find(self, key: Callable[[str], str]) -> Sequence[str]:
        """The names of all records whose keys are made so."""

        async def find() -> list[str]:
            return [found.decode().removeprefix(key("")) async for found in self._client.scan_iter(key("*"), 1000)]

        return await self._ask(find)

    async def _drop_group(self, group: str) -> None:
        await self._ask(lambda: self._client.delete(group_key_of(group)))

    async def _move_aside(self, name: str) -> None:
        await self._ask(lambda: self._rename(key_of(name)))

    async def _rename(self, key: str) -> None:
        with suppress(redis.ResponseError):  # type: ignore[union-attr] # there is none
            pipe = self._client.pipeline().rename(key, ASIDE + key)
            await pipe.expire(ASIDE + key, max(1, int(max(self._keep)))).execute()

    async def _drop_aside(self) -> None:
        async def drop() -> None:
            async for key in self._client.scan_iter(f"{ASIDE}*", 1000):
                await self._client.delete(key)

        await self._ask(drop)

    async def names(self, group: str) -> set[str]:
        key, keep = group_key_of(group), max(1, int(max(self._keep)))

        async def list_names() -> list[bytes]:
            found, _ = await self._client.pipeline().hkeys(key).expire(key, keep).execute()
            return found

        try:
            found = await self._ask(list_names)
        except WrongType as error:
            self.count_damaged(key, error)
            await self._ask(lambda: self._rename(key))
            return set()
        return {name.decode(errors="replace") for name in found}

    async def read(self, group: str, names: Sequence[str]) -> dict[str, bytes]:
        found = await self._ask(lambda: self._client.hmget(group_key_of(group), names))
        return {name: record for name, record in zip(names, found, strict=True) if record is not None}

    async def put(self, group: str, records: Mapping[str, bytes], gone: Sequence[str]) -> None:
        def execute() -> Awaitable[Any]:
            key, pipe = group_key_of(group), self._client.pipeline()
            if records:
                pipe.hset(key, mapping=dict(records))
            if gone:
                pipe.hdel(key, *gone)
            return pipe.expire(key, max(1, int(max(self._keep)))).execute()

        await self._ask(execute)

    async def _replace(self, name: str, change: Change, limit: float) -> Stored | None:
        return await self._ask(lambda: self._try_until_done(key_of(name), change), limit)

    async def _ask(self, ask: Callable[[], Awaitable[T]], limit: float = LIMIT) -> T:
        return await self.breaker.call(lambda: self._ask_once(ask), limit)

    async def _ask_once(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again, on a new connection, if the server has closed this one, which may have been idle for long.

        Raises `NotReady`, and `WrongType` where the key holds something else.
        """
        try:
            async with self._connections:
                try:
                    return await ask()
                except redis.ConnectionError:  # type: ignore[union-attr]
                    return await ask()
        except redis.RedisError as error:  # type: ignore[union-attr]
            raise to_fault(error) from error

    async def _try_until_done(self, key: str, change: Change) -> Stored | None:
        async with self._client.pipeline() as pipe:
            while True:
                try:
                    return await self._try_change(pipe, key, change)
                except redis.WatchError:  # type: ignore[union-attr]
                    continue

    async def _try_change(self, pipe: Any, key: str, change: Change) -> Stored | None:
        await pipe.watch(key)
        try:
            stored = parse_record(await pipe.hgetall(key))
        except (*DAMAGED, redis.ResponseError) as error:  # type: ignore[union-attr]
            if isinstance(error, redis.RedisError) and "WRONGTYPE" not in str(error):  # type: ignore[union-attr]
                raise
            self.count_damaged(key, error)
            await pipe.unwatch()
            await self._rename(key)
            raise redis.WatchError from None  # type: ignore[union-attr] # and once more, with none
        new = change(stored)
        if new is not stored:
            pipe.multi()
            pipe.delete(key)
            if new is not None:
                pipe.hset(key, mapping=dump_record(new))
                pipe.expire(key, max(1, int(lifetime(new.state, *self._keep))))
            await pipe.execute()
        return new
