"""Where sessions outlive their server: a folder, or Redis."""

from __future__ import annotations

from pathlib import Path

from .base import Store


def open_store(where: str, keep: float) -> Store:
    """A folder, or Redis or Valkey by its URL; states that nobody writes for `keep` seconds are forgotten.

    Raises OSError when the folder cannot be made or the server not be reached, `Unsupported` without its client.
    """
    if where.partition("://")[0] in ("redis", "rediss", "valkey", "valkeys"):
        from .redis import RedisStore  # its client is an extra

        return RedisStore.connect(where, keep)
    from .folder import FolderStore  # not on every system

    return FolderStore(Path(where.removeprefix("file://")), keep)
