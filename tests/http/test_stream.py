"""The stream of a browser: JSON and bytes in, JSON out, the answers and sentences of gRPC."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.http.conftest import BothTransports, open_transports
from tests.rpc.conftest import frame, jpeg, opening, until
from tta_service.core.events import Responded, Streaming
from tta_service.wire.identity import Identity
from tta_service.wire.keys import ApiKey, KeyFile, Role, edit_keys
from tta_service.wire.v1 import tta_pb2 as pb

OPEN: dict[str, Any] = {"labels": {"label_set": {"names": ["cat", "dog", "car"]}}}


@asynccontextmanager
async def stream(both: BothTransports, first: Any = None, **more: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{both.port}/v1/stream", proxy=None, **more) as socket:
        await socket.send(json.dumps({"open": OPEN} if first is None else first))
        yield socket


def picture(id: int, encoded: bytes | None = None, **more: Any) -> bytes:
    head = json.dumps({"frame_id": id, **more}).encode()
    return len(head).to_bytes(4, "big") + head + (jpeg(id) if encoded is None else encoded)


async def next_of(socket: ClientConnection, kind: str) -> Any:
    while True:
        message = json.loads(await socket.recv())
        if kind in message:
            return message[kind]


async def problem_of(socket: ClientConnection) -> tuple[Any, int]:
    """The problem that ends a stream, and the code of its end."""
    problem = await next_of(socket, "problem")
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd
    return problem, closed.value.rcvd.code


async def test_frames_are_answered_as_by_grpc(both: BothTransports):
    async def messages() -> AsyncIterator[Any]:
        yield opening(policy=pb.OpenStream.POLICY_BLOCK)
        yield frame(1)
        yield frame(2)

    expected = [reply.answer async for reply in both.rpc.stub.ClassifyStream(messages()) if reply.HasField("answer")]
    async with stream(both, {"open": {**OPEN, "policy": "POLICY_BLOCK"}}) as socket:
        await socket.send(picture(1, capture_time="2026-01-02T03:04:05Z"))
        await socket.send(
            json.dumps({"frame": {"frame_id": 2, "image": {"encoded": base64.b64encode(jpeg(2)).decode()}}})
        )
        await socket.send("")  # no more frames
        first, second = await next_of(socket, "answer"), await next_of(socket, "answer")
        assert first["capture_time"] == "2026-01-02T03:04:05Z"
        for answer, same in zip((first, second), expected, strict=True):
            assert [one["logit"] for one in answer["response"]["top"]] == [
                pytest.approx(one.logit) for one in same.response.top
            ]
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd and closed.value.rcvd.code == 1000


async def test_a_lesson_changes_the_next_answer_and_credits_are_told(both: BothTransports):
    taught = {**OPEN, "options": {"strategy": {"name": "tip_adapter"}}, "session_id": "gate"}
    async with stream(both, {"open": taught}) as socket:
        assert (await next_of(socket, "status"))["credits"] == 1
        await socket.send(picture(1))
        *_, before = (await next_of(socket, "answer"))["response"]["top"]
        other = before["label"]
        await socket.send(json.dumps({"lesson": {"frame_id": "1", "label": other}}))
        assert (await next_of(socket, "lesson"))["learnt_by"] == ["tip_adapter"]
        await socket.send(picture(2, jpeg(1)))
        after = {one["label"]: one["score"] for one in (await next_of(socket, "answer"))["response"]["top"]}
        assert after[other] > before["score"]


async def test_a_wrong_frame_is_told_and_the_stream_goes_on(both: BothTransports):
    async with stream(both) as socket:
        await socket.send(picture(1, b"no picture"))
        error = await next_of(socket, "error")
        assert error["frame_id"] == "1" and error["status"]["message"].startswith("frame.image.encoded: ")
        await socket.send(picture(2))
        assert (await next_of(socket, "answer"))["frame_id"] == "2"


@pytest.mark.parametrize(
    ("first", "later", "field"),
    [
        ({"frame": {}}, b"", "open"),
        ({"open": {**OPEN, "buffer": 0}}, b"", "open.buffer"),
        ({"open": {"nosuch": 1}}, b"", "open.nosuch"),
        ([], b"", ""),
        ({"token": 1}, b"", "token"),
        (None, picture(3)[:10], "frame"),
        (None, b"\xff" * 20, "frame"),
        (None, json.dumps({"open": OPEN}), "open"),
        (None, "{", ""),
    ],
)
async def test_what_ends_a_stream_is_a_problem_with_its_field(both: BothTransports, first: Any, later: Any, field: str):
    async with stream(both, first) as socket:
        if later:
            await socket.send(later)
        problem, code = await problem_of(socket)
    assert (problem["status"], problem.get("field", ""), code) == (400, field, 4400)
    assert both.rpc.of(Responded)[-1].code == 400


async def test_the_key_comes_with_the_first_message_and_a_revoked_one_ends_the_stream(tmp_path: Path):
    file = tmp_path / "keys.json"
    with edit_keys(file) as keys:
        key, token = ApiKey.make("gate-3", Role.INFER)
        keys[key.id] = key
    async with open_transports(identity=Identity(KeyFile(file, recheck=0.0))) as both:
        async with stream(both) as socket:
            assert (await problem_of(socket))[1] == 4401
        async with stream(both, {"open": OPEN, "token": token}) as socket:
            await socket.send(picture(1))
            assert (await next_of(socket, "answer"))["frame_id"] == "1"
            with edit_keys(file) as keys:
                del keys[key.id]
            await socket.send(picture(2))
            assert (await problem_of(socket))[1] == 4401


async def test_a_silent_a_large_and_a_leaving_client_hold_nothing():
    async with open_transports(first_message=0.2) as both:
        async with connect(f"ws://127.0.0.1:{both.port}/v1/stream", proxy=None) as silent:
            assert (await problem_of(silent))[1] == 4400
        async with stream(both) as socket:
            await next_of(socket, "status")
            await socket.send(b"\0" * ((1 << 20) + 1))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd and closed.value.rcvd.code == 1009
        async with stream(both) as socket:
            await next_of(socket, "status")
        await until(lambda: [one.open for one in both.rpc.of(Streaming)].count(False) == 2)


async def test_a_reader_that_takes_nothing_slows_only_itself(both: BothTransports):
    slow = {"open": {**OPEN, "policy": "POLICY_BLOCK", "options": {"explain": True}}}
    async with stream(both, slow, max_queue=1, close_timeout=0.1) as stuck, stream(both) as quick:
        for id in range(1, 9):
            await stuck.send(picture(id))
        for id in range(1, 4):
            await quick.send(picture(id))
            assert (await next_of(quick, "answer"))["frame_id"] == str(id)
