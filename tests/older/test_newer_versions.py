"""A session that a newer version wrote is left unchanged, and every call on it gives the same error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.survival.cameras import LABELS, SECRET, Camera, picture, start_service
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.records import Stored
from tta_service.wire.v1 import tta_pb2 as pb

OWNER = ""  # where callers are not asked who they are
NEWER = SignedCodec(SECRET.encode()).dumps({"all": "new"}, {}, Subject("any", OWNER), format=4)
TOKEN = {"resume": "cam", "owner": OWNER, "named": True}
RESUME = SignedCodec(SECRET.encode()).dumps(TOKEN, {}, Subject("token", OWNER))

WAYS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "session_id": lambda stub: Camera(stub).open(session_id="cam"),
    "session_id by a token": lambda stub: Camera(stub).open(resume_token=RESUME),
    "open.resume_token": lambda stub: Camera(stub).open(resume_token=NEWER),
    "session_id by a call": lambda stub: stub.Classify(
        pb.ClassifyRequest(session_id="cam", labels=LABELS, image=pb.Image(encoded=picture(1)))
    ),
    "snapshot.state": lambda stub: stub.RestoreSession(
        pb.RestoreSessionRequest(snapshot=pb.SessionSnapshot(session_id="cam", epoch=1, state=NEWER))
    ),
    "session_id of a snapshot": lambda stub: stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam")),
    "session_id to reset": lambda stub: stub.ResetSession(pb.ResetSessionRequest(session_id="cam")),
    "session_id to close": lambda stub: stub.CloseSession(pb.CloseSessionRequest(session_id="cam")),
}


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "lock"}


async def test_every_call_on_a_newer_session_gives_the_same_error_and_changes_nothing(tmp_path: Path):
    await FolderStore(tmp_path, 3600.0).write(OWNER, "cam", Stored(3, "a:1", NEWER), after=0)
    before = content(tmp_path)
    async with start_service(tmp_path) as (_, stub):
        for way, ask in WAYS.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(stub)
            field, _, sentence = (refused.value.details() or "").partition(": ")
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION, way
            assert field == way.partition(" ")[0]
            assert sentence == (
                "a newer version of the service wrote this session, in format 4; this server reads format 3: "
                "upgrade it first"
            )
        await Camera(stub).open(session_id="other")
    assert content(tmp_path) == before
