"""How much of a store each owner has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_service.core.errors import Overloaded
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import OutOfRoom
from tta_service.serving.persistence.stores.records import Stored
from tta_service.serving.persistence.stores.stored_bytes import QUOTA, StoredBytes

CODEC = SignedCodec(b"a secret for tests")
ANN, BOB = CODEC.tag("ann"), CODEC.tag("bob")


def record(owner: str, size: int, lessons: bool = False) -> bytes:
    blob = CODEC.dumps({"text": ""}, {}, Subject("session", owner, "cam"), lessons)
    return CODEC.dumps({"text": "x" * (size - len(blob))}, {}, Subject("session", owner, "cam"), lessons)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_records_count_for_their_owner_until_they_are_replaced_gone_or_forgotten():
    clock = Clock()
    room = StoredBytes(10_000, keep=100.0, keep_taught=1000.0, clock=clock)
    first, second, taught = record("ann", 4000), record("ann", 3000), record("ann", 2000, lessons=True)
    room.put("cam-1", {"": first})
    room.put("cam-1", {"": second})
    room.put("group", {"one": taught, "two": taught})
    room.put("cam-2", {"": record("bob", 5000)})
    assert room.used(ANN) == len(second) + 2 * len(taught) and 4900 < room.used(BOB) < 5100
    room.put("group", {"one": b""})
    assert room.used(ANN) == len(second) + len(taught)
    clock.now = 200.0
    assert room.used(ANN) == len(taught) and room.used(BOB) == 0
    room.drop("group")
    room.drop("group")
    assert room.used(ANN) == 0


def test_a_record_that_does_not_grow_is_always_written():
    room = StoredBytes(10_000, keep=100.0)
    room.put("cam-1", {"": record("ann", 9000)})
    assert room.fits("cam-1", record("ann", 9000)) and room.fits("cam-2", record("bob", 9000))
    assert not room.fits("cam-2", record("ann", 3000)) and not room.fits("cam-1", record("ann", 12_000))
    assert room.refused == 2
    room.check(BOB, 10_000)
    with pytest.raises(Overloaded, match="at most 10000 are allowed") as refused:
        room.check(ANN, 2000)
    assert refused.value.quota == QUOTA and refused.value.retry_after
    assert room.fits("old", b"from before encryption" * 9000)


def test_a_refused_record_counts_once_and_keeps_its_place_refused_until_it_fits(caplog: pytest.LogCaptureFixture):
    clock = Clock()
    room = StoredBytes(10_000, keep=100_000.0, clock=clock)
    room.put("cam-1", {"": record("ann", 9000)})
    large, size = record("ann", 3000), len(record("ann", 3000))
    for _ in range(3):
        assert not room.fits("cam-2", large) and room.still_refuses(ANN, "cam-2")
        clock.now += 60.0
    assert room.refused == 1 and not room.fits("cam-3", large) and room.refused == 2
    assert (
        f"cam-2, of {size} bytes, is not written: its owner has {room.used(ANN)}, and {QUOTA} is 10000" in caplog.text
    )
    with pytest.raises(Overloaded, match=f"this adds {size}, and at most 10000"):
        room.check(ANN, places=["cam-1", "cam-2"])
    room.check(ANN, places=["cam-1", "cam-4"])
    room.drop("cam-1")
    assert not room.still_refuses(ANN, "cam-2") and room.fits("cam-2", large)
    room.check(ANN, places=["cam-2"])
    room.put("cam-2", {"": large})
    assert not room.fits("cam-2", record("ann", 12_000)) and room.refused == 3
    clock.now += 1000.0  # nobody has tried since
    room.check(ANN, places=["cam-2"])


async def test_every_store_keeps_to_the_quota_and_counts_what_it_finds(where: str):
    store = await open_store(where, 3600.0)
    store.room = StoredBytes(10_000, 3600.0)
    await store.write("ann", "cam-1", Stored(1, "here", record("ann", 6000)), 0)
    with pytest.raises(OutOfRoom):
        await store.write("ann", "cam-2", Stored(1, "here", record("ann", 6000)), 0)
    assert await store.epoch("ann", "cam-2") == 0
    await store.write("bob", "cam-2", Stored(1, "here", record("bob", 6000)), 0)
    lessons = {f"lesson-{i}": record("ann", 1500) for i in range(4)}
    written = await store.put_fitting("group", lessons, [])
    assert len(written) == 2 and await store.names("group") == written
    again = await open_store(where, 3600.0)
    again.room = StoredBytes(10_000, 3600.0)
    await again.count()
    await again.fetch("group", sorted(written))
    assert again.room.used(ANN) == store.room.used(ANN) > 8900 and again.room.used(BOB) == store.room.used(BOB)
    assert await store.forget("ann", "cam-1", 1)
    await store.write("ann", "cam-2", Stored(1, "here", record("ann", 6000)), 0)
    await store.erase(lambda state: CODEC.belongs_to("ann", state))
    assert store.room.used(ANN) == 0 < store.room.used(BOB)
    await store.close()
    await again.close()


async def test_without_a_quota_nothing_is_counted(tmp_path: Path):
    store = await open_store(str(tmp_path), 3600.0)
    await store.write("ann", "cam-1", Stored(1, "here", record("ann", 60_000)), 0)
    await store.count()
    assert store.room is None
    await store.close()
