"""The neighbour of hostile.py: an open-loop caller, in a process of its own, that tells how long each call took.

By turns a call on a connection that stays open, and one on a new connection, by gRPC and by HTTP. Prints one JSON line
for each call: monotonic seconds at which it was due, the kind, seconds to its answer, and why there was none.

    python benchmarks/hostile_neighbour.py '{"grpc": "127.0.0.1:50051", "http": "127.0.0.1:8080", "key": "…"}'
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import uvloop
from hostile_pictures import NAMES, picture
from tta_client.v1 import tta_pb2 as pb
from tta_client.v1.tta_pb2_grpc import AdaptationServiceStub

EVERY, PATIENCE = 0.1, 5.0  # seconds between calls, and until a call is given up
KINDS = ("grpc", "http", "grpc", "http", "grpc, new connection")


async def by_http(address: str, head: str, body: bytes) -> str:
    """One POST on a connection of its own; the reason when it is not answered with 200."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        reply = await reader.read()
        return "" if reply.startswith(b"HTTP/1.1 200 ") else reply[:40].decode(errors="replace") or "closed"
    finally:
        writer.transport.abort()


async def main(where: dict[str, Any]) -> None:
    key = (("authorization", f"Bearer {where['key']}"),)
    request = pb.ClassifyRequest(image=pb.Image(encoded=picture()), session_id="gate")
    request.labels.label_set.names.extend(NAMES)
    request.options.strategy.name = "tda"
    names = {"label_set": {"names": NAMES}}
    body = json.dumps({"image": {"encoded": base64.b64encode(picture()).decode()}, "labels": names}).encode()
    head = f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {where['key']}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    kept = grpc.aio.insecure_channel(where["grpc"])

    async def by_grpc(channel: grpc.aio.Channel) -> str:
        try:
            await AdaptationServiceStub(channel).Classify(request, metadata=key)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return ""

    async def by_new_channel() -> str:
        async with grpc.aio.insecure_channel(where["grpc"], [("grpc.use_local_subchannel_pool", 1)]) as channel:
            return await by_grpc(channel)

    ask: dict[str, Callable[[], Awaitable[str]]] = {
        "grpc": lambda: by_grpc(kept),
        "http": lambda: by_http(where["http"], head, body),
        "grpc, new connection": by_new_channel,
    }

    async def call(due: float, kind: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                why = await ask[kind]()
        except (OSError, TimeoutError) as error:
            why = type(error).__name__
        try:
            print(json.dumps([due, kind, round(time.monotonic() - due, 4), why]), flush=True)
        except BrokenPipeError:
            os._exit(0)  # nobody reads on

    calls, began = set[asyncio.Task[None]](), time.monotonic()
    for number, kind in enumerate(itertools.cycle(KINDS)):
        due = began + number * EVERY
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        calls.add(task := asyncio.create_task(call(due, kind)))
        task.add_done_callback(calls.discard)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.argv[1])))
