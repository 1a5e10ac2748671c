"""State stores: a folder, or Redis."""

from __future__ import annotations

from pathlib import Path

from .base import Store
from .record_signer import RecordSigner
from .signed_records import WriteCounters

COUNTED = 4  # times as long as a record is kept, its write counter is


async def open_store(
    where: str, keep: float, keep_taught: float = 0.0, signer: RecordSigner | None = None, counters: str = ""
) -> Store:
    """A folder, or Redis or Valkey by URL. A state is deleted `keep` seconds after its last write.

    One with lessons is kept for at least `keep_taught` seconds. Records are signed by `signer`. `counters` is another
    store, which those who can write records cannot write: what they bring back is then noticed.

    Raises OSError when the folder cannot be made or the server cannot be reached, `Unsupported` when Redis's client is
    not installed.
    """
    store = await _open(where, keep, keep_taught)
    store.signer = signer
    if counters:
        times = COUNTED * max(keep, keep_taught)
        store.counters = WriteCounters(await _open(counters, times))
    return store


async def _open(where: str, keep: float, keep_taught: float = 0.0) -> Store:
    if where.partition("://")[0].removesuffix("+sentinel") in ("redis", "rediss", "valkey", "valkeys"):
        from .redis import RedisStore  # its client is an optional dependency

        return await RedisStore.connect(where, keep, keep_taught)
    from .folder import FolderStore  # needs `fcntl`, which some systems lack

    return FolderStore(Path(where.removeprefix("file://")), keep, keep_taught)
