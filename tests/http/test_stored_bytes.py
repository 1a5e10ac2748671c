"""An owner that has used up what it may store hears so in one sentence at each door, and is answered all the same."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tests.http.conftest import open_transports
from tests.http.test_rest import SET, body
from tests.rpc.conftest import jpeg, until
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.serving.persistence.stores.stored_bytes import QUOTA, StoredBytes
from tta_service.wire.json_mapping import parse_json, to_json
from tta_service.wire.v1 import tta_pb2 as pb


def details(status: Status, kind: Any) -> Any:
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details)
    return found


async def test_who_has_stored_too_much_is_answered_and_refused_lessons_and_restores(tmp_path: Path):
    store, room = FolderStore(tmp_path, 3600.0), StoredBytes(100, 3600.0)
    async with open_transports(store=store) as both:
        lesson = {"image": {"encoded": base64.b64encode(jpeg()).decode()}, "labels": SET, "label": "cat"}
        taught = {"session_id": "gate", "lessons": [lesson]}
        owner = SignedCodec(b"a secret for tests").tag("")
        first = (await both.http.post("/v1/sessions/gate/lessons", json=taught)).json()
        assert first["results"][0]["stored"]
        snapshot = (await both.rpc.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        store.room = room
        await store.count()
        by_http = (await both.http.post("/v1/sessions/gate/lessons", json=taught)).json()["results"][0]["status"]
        reply = await both.rpc.stub.TeachSession(parse_json(pb.TeachSessionRequest, json.dumps(taught)))
        status = reply.results[0].status
        assert status.message == by_http["message"] and "of this server's store" in status.message
        assert details(status, QuotaFailure).violations[0].subject == QUOTA
        assert details(status, RetryInfo).retry_delay.ToTimedelta().total_seconds() > 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await both.rpc.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot, roll_back=True))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        whole = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
        assert details(whole, QuotaFailure).violations[0].subject == QUOTA
        same = await both.http.put("/v1/sessions/gate/snapshot?roll_back=true", content=to_json(snapshot))
        assert (same.status_code, same.json()["quota"], int(same.headers["retry-after"])) == (429, QUOTA, 60)
        assert same.json()["detail"] == whole.message
        assert (await both.http.post("/v1/classify", json={**body(), "session_id": "new"})).status_code == 200
        await both.rpc.parts.persistence.save_all()
        assert room.refused and not await store.epoch("", "new")
        assert (await both.http.delete("/v1/sessions/gate")).status_code == 200
        await until(lambda: not room.used(owner))
        await both.rpc.parts.persistence.save_all()
        assert not await store.epoch("", "new") and room.used(owner) == 0  # it is larger than all that is allowed


async def test_lessons_are_refused_as_well_where_the_whole_quota_is_smaller_than_a_record(tmp_path: Path):
    store = FolderStore(tmp_path, 3600.0)
    store.room = StoredBytes(100, 3600.0)
    lesson = {"image": {"encoded": base64.b64encode(jpeg()).decode()}, "labels": SET, "label": "cat"}
    async with open_transports(store=store) as both:
        for count, path in enumerate(("/v1/sessions/gate/lessons", "/v1/groups/yard/lessons"), 1):
            first = (await both.http.post(path, json={"lessons": [lesson]})).json()["results"][0]
            assert "status" not in first and not first.get("stored")
            for _ in range(3):
                await both.rpc.parts.persistence.save_all(groups=True)
                status = (await both.http.post(path, json={"lessons": [lesson]})).json()["results"][0]["status"]
                assert "take 0 bytes" in status["message"] and "at most 100 are allowed" in status["message"]
            assert store.room.refused == count  # once a record, however often it is tried
        snapshot = (await both.rpc.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        same = await both.http.put("/v1/sessions/gate/snapshot?roll_back=true", content=to_json(snapshot))
        assert (same.status_code, same.json()["quota"]) == (429, QUOTA)
        assert f"this adds {len(snapshot.state)}" in same.json()["detail"]
