"""Who changed what, as a server and `tta-service keys` write it down."""

from __future__ import annotations

import asyncio
import faulthandler
import getpass
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.patience import PATIENCE
from tests.survival.cameras import LABELS, QUICK, Camera, picture, process
from tta_service.app import Application
from tta_service.app.stack_dump import dump_on_signal
from tta_service.cli import main
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import BadSettings, load
from tta_service.wire.v1 import tta_pb2 as pb

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def outcome(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def keys(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == 0


async def test_keys_lessons_restores_switches_and_deletions_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = tmp_path / "audit", str(tmp_path / "keys")
    monkeypatch.setenv("TTA_LOG__AUDIT", str(path))
    keys("add", "ann", "--role", "admin", "--file", file)
    token = capsys.readouterr().out.strip()
    metadata = (("authorization", f"Bearer {token}"),)
    settings = load(QUICK | {"server.keys": file})
    async with Application(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = AdaptationServiceStub(channel)
        teach = pb.TeachSessionRequest(lesson_group="belt")
        teach.lessons.add(image=pb.Image(encoded=picture(1)), label="cat", labels=LABELS)
        teach.lessons.add(image=pb.Image(encoded=b"nothing"), label="cat", labels=LABELS)
        results = (await stub.TeachSession(teach, metadata=metadata)).results
        examples = [results[0].example_id]
        sums = (await stub.GetLessonSums(pb.GetLessonSumsRequest(lesson_group="belt"), metadata=metadata)).sums
        put = pb.PutLessonSumsRequest(lesson_group="loft", site="north", sums=sums)
        await stub.PutLessonSums(put, metadata=metadata)
        await stub.Unlearn(pb.UnlearnRequest(lesson_group="belt", example_ids=examples), metadata=metadata)
        asked = pb.ClassifyRequest(session_id="cam", labels=LABELS, image=pb.Image(encoded=picture(2)))
        await stub.Classify(asked, metadata=metadata)
        snapshot = await stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam"), metadata=metadata)
        await stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot.snapshot), metadata=metadata)
        await stub.ResetSession(pb.ResetSessionRequest(session_id="cam"), metadata=metadata)
        await stub.CloseSession(pb.CloseSessionRequest(session_id="cam"), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.CloseSession(pb.CloseSessionRequest(session_id="cam"), metadata=metadata)
        labels = await stub.PutLabelSet(pb.PutLabelSetRequest(label_set=LABELS.label_set), metadata=metadata)
        await stub.DeleteLabelSet(pb.DeleteLabelSetRequest(id=labels.info.id), metadata=metadata)
        await stub.SetStrategyState(pb.SetStrategyStateRequest(name="tda"), metadata=metadata)
    keys("revoke", "ann", "--file", file)
    added, *called, revoked = lines(path)
    id = token.partition(".")[0]
    assert added["action"] == "key_added" and revoked["action"] == "key_revoked"
    assert added["user"] == revoked["user"] == getpass.getuser()
    assert added["changed"] == revoked["changed"] == {"key": id, "owner": "ann", "role": "admin"}
    who = {"owner": "ann", "key": id}
    for line in called:
        assert line.pop("time") and line.pop("owner") == who["owner"] and line.pop("key") == who["key"]
    taught = {"session": "", "group": "belt", "label": "cat", "example": examples[0], "replaced": False}
    assert called == [
        {"action": "taught"} | taught,
        {"action": "sums_put", "group": "loft", "site": "north", "lessons": 1},
        {"action": "unlearnt", "session": "", "group": "belt", "examples": examples},
        {"action": "restored", "session": "cam", "epoch": 2, "lessons": 0},
        {"action": "reset", "session": "cam"},
        {"action": "closed", "session": "cam"},
        {"action": "label_set_deleted", "label_set": labels.info.id},
        {"action": "strategy_disabled", "strategy": "tda"},
    ]
    assert token.partition(".")[2] not in path.read_text()


async def test_a_lesson_in_a_stream_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTA_LOG__AUDIT", str(tmp_path / "audit"))
    async with Application(load(QUICK)) as service, grpc.aio.insecure_channel(service.address) as channel:
        camera = Camera(AdaptationServiceStub(channel))
        await camera.open(strategy="tip_adapter", session_id="cam")
        await camera.frame(1)
        lesson = pb.Lesson(frame_id=1, none_of_these=True)
        await camera.call.write(pb.ClassifyStreamRequest(lesson=lesson))
        await camera.end()
    [line] = lines(tmp_path / "audit")
    assert (line["action"], line["session"], line["owner"]) == ("taught", "cam", "")
    assert line["label"] is None and str(line["example"]).startswith("seen-")


async def test_a_required_log_that_cannot_be_written_keeps_from_every_change(tmp_path: Path) -> None:
    path = tmp_path / "there" / "audit"
    path.parent.mkdir()
    settings = load(QUICK | {"log.audit": str(path), "log.audit_required": True})
    async with Application(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = AdaptationServiceStub(channel)
        asked = pb.ClassifyRequest(session_id="cam", labels=LABELS, image=pb.Image(encoded=picture(2)))
        await stub.Classify(asked)
        path.parent.rename(tmp_path / "away")
        await stub.SetStrategyState(pb.SetStrategyStateRequest(name="tda"))  # nobody knew yet
        async with asyncio.timeout(PATIENCE):
            while (await outcome(stub.ResetSession(pb.ResetSessionRequest(session_id="cam")))) is not UNAVAILABLE:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await outcome(stub.SetStrategyState(pb.SetStrategyStateRequest(name="mean"))) is UNAVAILABLE
        assert await outcome(stub.CloseSession(pb.CloseSessionRequest(session_id="cam"))) is UNAVAILABLE
        assert (await stub.Classify(asked)).session.frames == 2  # answers go on
        (tmp_path / "away").rename(path.parent)
        await stub.CloseSession(pb.CloseSessionRequest(session_id="cam"))
    actions = [line["action"] for line in lines(path)]
    assert (actions[0], actions[-1]) == ("strategy_disabled", "closed")


def test_a_required_log_that_cannot_be_written_keeps_keys_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTA_LOG__AUDIT", str(tmp_path / "missing" / "audit"))
    keys("add", "ann", "--file", str(tmp_path / "keys"))
    assert "is not written" in capsys.readouterr().err
    before = (tmp_path / "keys").read_text()
    monkeypatch.setenv("TTA_LOG__AUDIT_REQUIRED", "true")
    with pytest.raises(SystemExit) as ended:
        main(["keys", "revoke", "ann", "--file", str(tmp_path / "keys")])
    assert ended.value.code == 2 and "nothing was changed" in capsys.readouterr().err
    assert (tmp_path / "keys").read_text() == before
    with pytest.raises(BadSettings, match=r"log\.audit: "):
        Application(load(QUICK | {"log.audit": "", "log.audit_required": True}))


def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.touch(0o644)
    with pytest.raises(BadSettings, match=r"log\.audit: .* is open to others"):
        Application(load(QUICK | {"log.audit": str(path)}))


async def test_sigusr1_shows_threads_and_tasks_even_while_nothing_awaits(capfd: pytest.CaptureFixture[str]) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(wait_for_ever(), name="the one that waits")
    await asyncio.sleep(0)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        dump_on_signal(asyncio.get_running_loop())
        os.kill(os.getpid(), signal.SIGUSR1)
        shown = capfd.readouterr().err
    finally:
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)
        waiting.cancel()
    assert "most recent call first" in shown and re.search(r"[2-9] tasks:\n", shown)
    assert "the one that waits" in shown and re.search(r'test_audit.py", line \d+ in wait_for_ever', shown)


@pytest.mark.slow
async def test_sigusr1_shows_a_service_that_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with process(tmp_path) as (running, stub):
        running.signal(signal.SIGUSR1)
        shown = ""
        async with asyncio.timeout(PATIENCE):
            while not re.search(r"\d tasks:\n", shown):
                await asyncio.sleep(0.05)
                shown += capfd.readouterr().err
        assert "most recent call first" in shown
        await stub.GetServerInfo(pb.GetServerInfoRequest())
        running.signal(signal.SIGTERM)
        assert await running.ended() == os.EX_OK
