"""Deleting an owner by each way that an administrator has: the command, the client, HTTP."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tta_client import Client, TTAClientError

from tests.app.test_access import question, running, settings
from tests.rpc.conftest import code_of
from tests.wire.test_keys import add
from tta_service.app import Application
from tta_service.cli import main
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.keys import Role
from tta_service.wire.v1 import tta_pb2 as pb


def by_command(service: Application, key: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["owners", "delete", "ann", "--server", service.address, "--key-file", str(key)])
    return int(ended.value.code or 0)


def by_client(service: Application, key: Path) -> int:
    with Client(service.address, token=key.read_text()) as client:
        try:
            return 0 if client.delete_owner("ann").sessions else 2
        except TTAClientError:
            return 2


def by_http(service: Application, key: Path) -> int:
    header = {"Authorization": f"Bearer {key.read_text()}"}
    asked = urllib.request.Request(f"http://{service.http_address}/v1/owners/ann", headers=header, method="DELETE")
    try:
        with urllib.request.urlopen(asked) as reply:
            return 0 if int(json.load(reply)["sessions"]) else 2
    except urllib.error.HTTPError as error:
        assert error.code == 403
        return 2


@pytest.mark.parametrize("delete", [by_command, by_client, by_http])
async def test_an_admin_deletes_what_an_owner_has_and_nobody_else_does(
    delete: Callable[[Application, Path], int], tmp_path: Path
):
    keys = tmp_path / "keys"
    headers = {name: (("authorization", f"Bearer {add(keys, name)}"),) for name in ("ann", "ben")}
    for role in (Role.ADMIN, Role.TEACH):
        (tmp_path / role.name).write_text(add(keys, role.name.lower(), role))
    chosen = settings(server__keys=str(keys), http__enabled=True, http__port=0)
    async with running(chosen) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = AdaptationServiceStub(channel)
        for header in headers.values():
            await stub.Classify(question(), metadata=header)
        assert await asyncio.to_thread(delete, service, tmp_path / "TEACH") == 2
        wanted = pb.GetSessionRequest(session_id="cam")
        assert await code_of(stub.GetSession(wanted, metadata=headers["ann"])) is grpc.StatusCode.OK
        assert await asyncio.to_thread(delete, service, tmp_path / "ADMIN") == 0
        assert await code_of(stub.GetSession(wanted, metadata=headers["ann"])) is grpc.StatusCode.NOT_FOUND
        assert await code_of(stub.GetSession(wanted, metadata=headers["ben"])) is grpc.StatusCode.OK
