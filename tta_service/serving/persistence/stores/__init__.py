"""State stores: a folder, or Redis."""

from __future__ import annotations

from pathlib import Path

from .base import Store


async def open_store(where: str, keep: float, keep_taught: float = 0.0) -> Store:
    """A folder, or Redis or Valkey by its URL. A state is deleted `keep` seconds after its last write.

    One with lessons is kept for at least `keep_taught` seconds.

    Raises OSError when the folder cannot be made or the server cannot be reached, `Unsupported` when Redis's client is
    not installed.
    """
    if where.partition("://")[0] in ("redis", "rediss", "valkey", "valkeys"):
        from .redis import RedisStore  # its client is an optional dependency

        return await RedisStore.connect(where, keep, keep_taught)
    from .folder import FolderStore  # needs `fcntl`, which some systems lack

    return FolderStore(Path(where.removeprefix("file://")), keep, keep_taught)
