"""Who can write records, and nothing else, moves no session and brings nothing back."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.persistence.stores.test_stores import Shared, SharedFolder, SharedRedis, share_fakeredis
from tests.serving.persistence.test_service import SECRET, server
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores import open_store
from tta_service.serving.persistence.stores.base import Store
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.record_signer import RecordSigner
from tta_service.serving.persistence.stores.records import Stored, name_of
from tta_service.serving.persistence.stores.signed_records import WriteCounters

NAME = name_of("ann", "cam")
STATE = SignedCodec(SECRET).dumps({}, {}, Subject("session", "ann", "cam"))


@pytest.fixture(params=["folder", "fakeredis"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shared]:
    """Two servers of one store, with signatures and a folder of counters."""
    found: Shared = SharedFolder(tmp_path / "states") if request.param == "folder" else share_fakeredis()
    for store in (found.one, found.two):
        store.signer = RecordSigner(SECRET)
        store.counters = WriteCounters(FolderStore(tmp_path / "counters", 3600.0))
    yield found
    await found.one.close()
    await found.two.close()


def read(shared: Shared) -> Any:
    """The one record, as who can write there sees it."""
    if isinstance(shared, SharedFolder):
        return shared.file.read_bytes()
    assert isinstance(shared, SharedRedis)
    [key] = shared.client.keys("tta:session:*")
    return key, shared.client.hgetall(key)


def write(shared: Shared, record: Any, name: str = "") -> None:
    if isinstance(shared, SharedFolder):
        (shared.folder / f"{name or NAME}.session").write_bytes(record)
    else:
        assert isinstance(shared, SharedRedis)
        key, fields = record
        key = f"tta:session:{name}" if name else key
        shared.client.delete(key)
        shared.client.hset(key, mapping=fields)


def change(record: Any, **fields: Any) -> Any:
    """The record with other fields beside its state; None: without that one."""
    if isinstance(record, bytes):
        line, _, state = record.partition(b"\n")
        head = {name: value for name, value in (json.loads(line) | fields).items() if value is not None}
        return json.dumps(head).encode() + b"\n" + state
    key, held = record
    gone = {name.encode() for name, value in fields.items() if value is None}
    given = {name.encode(): value for name, value in fields.items() if value is not None}
    return key, {name: value for name, value in (held | given).items() if name not in gone}


FORGERIES: dict[str, Callable[[Any], Any]] = {
    "another epoch": lambda record: change(record, epoch=9),
    "another holder": lambda record: change(record, holder="evil:1"),
    "more writes": lambda record: change(record, writes=99),
    "no signature": lambda record: change(record, epoch=9, format=1, seal=None, writes=None),
    "a signature by nobody": lambda record: change(record, epoch=9, seal="0123456789abcdef:00"),
    "an empty signature": lambda record: change(record, epoch=9, seal=""),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_a_record_says_beside_its_state_cannot_be_changed(shared: Shared, forgery: str):
    one = shared.one
    await one.write("ann", "cam", Stored(1, "a:1", STATE), after=0)
    write(shared, FORGERIES[forgery](read(shared)))
    assert await shared.two.epoch("ann", "cam") in (0, 1)  # the server that has the session keeps it
    await one.write("ann", "cam", Stored(1, "a:1", STATE), after=1)
    assert await shared.two.claim("ann", "cam", "b:1") == Stored(2, "b:1", STATE)
    write(shared, FORGERIES[forgery](read(shared)))
    assert await one.claim("ann", "cam", "a:1") is None


async def test_the_record_of_another_session_is_not_believed(shared: Shared):
    await shared.one.write("ann", "cam", Stored(1, "a:1", STATE), after=0)
    write(shared, read(shared), name_of("ann", "door"))
    assert await shared.two.claim("ann", "door", "b:1") is None


async def test_an_older_record_that_is_played_back_is_refused_and_said(
    shared: Shared, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    await shared.one.write("ann", "cam", Stored(1, "a:1", STATE), after=0)
    older = read(shared)
    await shared.one.write("ann", "cam", Stored(1, "a:1", STATE), after=1)
    write(shared, older)
    assert await shared.two.claim("ann", "cam", "b:1") is None
    assert "an older record was played back, write 1 of 2" in caplog.text and shared.two.damaged == 1
    await shared.two.write("ann", "cam", Stored(1, "b:1", STATE), after=0)  # the session that began anew
    latest = read(shared)
    assert await shared.one.claim("ann", "cam", "a:1") == Stored(2, "a:1", STATE)
    await shared.one.forget("ann", "cam", 2)
    write(shared, latest)
    assert await shared.one.claim("ann", "cam", "a:1") is None  # what was deleted stays so


async def test_records_from_before_signatures_are_believed_and_signed(shared: Shared):
    signer, shared.one.signer = shared.one.signer, None
    state = b"\x00" * 32 + b"of before"
    await shared.one.write("ann", "cam", Stored(3, "a:1", state), after=0)
    shared.one.signer = signer
    shared.two.counters = None
    assert await shared.two.epoch("ann", "cam") == 3
    assert await shared.two.claim("ann", "cam", "b:1") == Stored(4, "b:1", state)
    record = read(shared)
    assert b'"seal"' in record if isinstance(record, bytes) else b"seal" in record[1]


async def test_signatures_by_a_former_secret_are_believed(shared: Shared):
    await shared.one.write("ann", "cam", Stored(1, "a:1", STATE), after=0)
    shared.two.signer = RecordSigner(b"the next secret", [SECRET])
    assert await shared.two.claim("ann", "cam", "b:1") == Stored(2, "b:1", STATE)


async def test_a_session_goes_on_from_server_to_server_with_counters(tmp_path: Path):
    async def store() -> Store:
        return await open_store(str(tmp_path / "s"), 3600.0, signer=RecordSigner(SECRET), counters=str(tmp_path / "c"))

    for number in (1, 2, 3):
        async with server(await store()) as one:
            assert (await one.frame(number)).session.frames == number
            await one.persistence.save_all()
            assert one.persistence.store is not None and one.persistence.store.damaged == 0
