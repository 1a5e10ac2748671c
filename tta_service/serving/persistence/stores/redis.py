"""Sessions in Redis or Valkey."""

# pyright: reportUnknownMemberType=false
# (Redis's client is only partly typed)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from ....core.errors import Unsupported
from ....core.masking import without_secrets
from ..signing import FORMAT, check_format
from .base import Stored, check_epoch, check_formats, name_of

try:
    import redis
except ImportError:
    redis = None

T = TypeVar("T")
Change = Callable[[Stored | None], "tuple[Stored | None, T]"]  # stored record -> new record (None: delete it), result


class RedisStore:
    """One hash for each session, which expires `keep` seconds after its last write.

    Compare-and-set is WATCH … MULTI … EXEC, repeated when another server was faster.
    """

    def __init__(self, client: Any, keep: float) -> None:
        self._client, self._keep = client, max(1, int(keep))

    @classmethod
    def connect(cls, url: str, keep: float) -> RedisStore:
        """Raises OSError when no server answers at that URL, `Unsupported` when Redis's client is not installed."""
        if redis is None:
            raise Unsupported("a state store in Redis needs its client: pip install tta-service[redis]")
        address = url.replace("valkey", "redis", 1)
        try:
            client = redis.Redis.from_url(address, socket_timeout=5.0, socket_connect_timeout=5.0)
            client.ping()
        except ValueError as error:
            raise OSError(without_secrets(f"{url} is no address of a state store: {error}", url)) from None
        except redis.RedisError as error:
            raise OSError(without_secrets(f"the state store does not answer: {error}", url)) from None
        return cls(client, keep)

    def claim(self, owner: str, session: str, holder: str) -> Stored | None:
        def take(stored: Stored | None) -> tuple[Stored | None, Stored | None]:
            taken = stored and replace(stored, epoch=stored.epoch + 1, holder=holder)
            return taken, taken

        return self._change(owner, session, take)

    def write(self, owner: str, session: str, stored: Stored, after: int) -> None:
        def replace_older(older: Stored | None) -> tuple[Stored, None]:
            check_epoch(older, after)
            return stored, None

        self._change(owner, session, replace_older)

    def epoch(self, owner: str, session: str) -> int:
        try:
            epoch, format = self._client.hmget(_key(owner, session), "epoch", "format")
        except redis.RedisError as error:  # type: ignore[union-attr]
            raise OSError(f"the state store does not answer: {error}") from error
        check_format(_number(format))
        return int(epoch or 0)

    def forget(self, owner: str, session: str, epoch: int) -> None:
        self._change(owner, session, lambda stored: (stored if stored and stored.epoch > epoch else None, None))

    def _change(self, owner: str, session: str, change: Change[T]) -> T:
        key = _key(owner, session)
        try:
            with self._client.pipeline() as pipe:
                while True:
                    try:
                        return self._try_change(pipe, key, change)
                    except redis.WatchError:  # type: ignore[union-attr]
                        continue
        except redis.RedisError as error:  # type: ignore[union-attr]
            raise OSError(f"the state store does not answer: {error}") from error

    def _try_change(self, pipe: Any, key: str, change: Change[T]) -> T:
        pipe.watch(key)
        stored = _to_stored(pipe.hgetall(key))
        new, result = change(stored)
        if new == stored:
            pipe.unwatch()
            return result
        pipe.multi()
        if new is None:
            pipe.delete(key)
        else:
            pipe.hset(key, mapping={"format": FORMAT, "epoch": new.epoch, "holder": new.holder, "state": new.state})
            pipe.expire(key, self._keep)
        pipe.execute()
        return result


def _key(owner: str, session: str) -> str:
    return f"tta:session:{name_of(owner, session)}"


def _to_stored(fields: dict[bytes, bytes]) -> Stored | None:
    if not fields:
        return None
    check_formats(_number(fields.get(b"format")), fields.get(b"state", b""))
    return Stored(int(fields[b"epoch"]), fields[b"holder"].decode(), fields[b"state"])


def _number(format: bytes | None) -> str:
    return str(FORMAT) if format is None else format.decode(errors="replace")
