"""The columns of fuzz.py at the ports of a server: gRPC, the Open Inference Protocol, HTTP, WebSocket.

What counts as a failure: INTERNAL and UNKNOWN, HTTP's 500, a connection that ends without a status, no reply within a
minute, a neighbour's answer that is not the one that it has alone, and memory that grows by more than a twentieth.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fuzz_images
import grpc
import psutil
from fuzz_messages import POOLS
from fuzz_neighbour import STRATEGIES, neighbour_of
from fuzz_offline import INFERENCE, LIMITS, METHODS, Corpus, Tally, changed_tree, remember, valid
from google.protobuf import json_format
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from load_servers import start_server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tta_service.http.routes import ROUTES
from tta_service.methods.oip import OpenInference
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.oip.tensors import join_bytes
from tta_service.wire.v1 import open_inference_pb2 as oip
from tta_service.wire.v1 import tta_pb2 as pb

HERE = Path(__file__).resolve().parent
KNOBS = {
    "limits.names": LIMITS["names"],
    "limits.parameters": LIMITS["parameters"],
    "limits.first_message": 2.0,
    "http.body_seconds": 2.0,
    "sessions.most": 128,
    "sessions.idle": 20.0,
    "sessions.taught_idle": 20.0,
    "sessions.total_bytes": 32 << 20,
    "sessions.thumbnails": 32,
    "text.cache_bytes": 4 << 20,
    "text.definitions": 64,
}
AT_ONCE, PATIENCE = 8, 60.0
HARMFUL = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
WRITTEN_TOO_LATE = "Internal error from Core"  # of grpcio itself, when a stream has ended before all was written
INFERENCE_PATH = "/inference.GRPCInferenceService/"
QUESTIONS = ["/v2", "/v2/health/ready", "/v2/models/stats", "/v2/repository/index"]
QUESTIONS += [f"/v2/models/{{}}{end}" for end in ("", "/config", "/stats", "/versions/1/ready")]
QUESTIONS += ["/v2/repository/models/{}/load", "/v2/systemsharedmemory/region/{}/register"]
Door = Callable[["Server", Tally, random.Random], Awaitable[None]]  # one input, or one stream of them


class Server:
    """Where it answers, and a channel to it."""

    def __init__(self, address: str, http: str) -> None:
        self.address, self.http = address, http
        self.channel = grpc.aio.insecure_channel(address)
        self.stub = AdaptationServiceStub(self.channel)
        self._corpora = dict[type[Message], Corpus]()

    def next(self, kind: type[Message], chance: random.Random) -> Any:
        if kind not in self._corpora:
            self._corpora[kind] = Corpus(kind, chance, 40)
        message: Any = self._corpora[kind].next()
        if isinstance(message, pb.SetStrategyStateRequest) and message.name in STRATEGIES:
            message.enabled = True  # the neighbour uses it
        return message


def refuse(tally: Tally, error: grpc.aio.AioRpcError, given: Any) -> None:
    """A status is what is wanted, unless it says that the server failed, or grpcio made it for a lost connection."""
    lost = error.code() is grpc.StatusCode.UNAVAILABLE and "ErrorInfo" not in str(error.trailing_metadata())
    if (error.code() in HARMFUL and error.details() != WRITTEN_TOO_LATE) or lost:
        tally.fail(f"{error.code().name}: {error.details()}"[:200], given)


async def call(server: Server, tally: Tally, chance: random.Random) -> None:
    """One call of a method of `tta.v1`."""
    name = (
        "Classify"
        if chance.random() < 0.5
        else chance.choice([one for one in METHODS if not METHODS[one].client_streaming])
    )
    message = server.next(GetMessageClass(METHODS[name].input_type), chance)
    tally.inputs += 1
    try:
        remember(await getattr(server.stub, name)(message, timeout=PATIENCE))
        tally.accepted += 1
    except grpc.aio.AioRpcError as error:
        refuse(tally, error, (name, message))


async def raw_call(server: Server, tally: Tally, chance: random.Random) -> None:
    """The same with the bytes of the message changed."""
    names = [one for one in METHODS if not METHODS[one].client_streaming and one != "SetStrategyState"]
    name = "Classify" if chance.random() < 0.5 else chance.choice(names)
    raw = fuzz_images.mutate(server.next(GetMessageClass(METHODS[name].input_type), chance).SerializeToString(), chance)
    tally.inputs += 1
    try:
        await server.channel.unary_unary(f"/tta.v1.AdaptationService/{name}")(raw, timeout=PATIENCE)
        tally.accepted += 1
    except grpc.aio.AioRpcError as error:
        refuse(tally, error, (name, raw))


async def stream(server: Server, tally: Tally, chance: random.Random) -> None:
    """One stream of `tta.v1`: an opening, frames and lessons."""
    sent = [
        pb.ClassifyStreamRequest(
            open=server.next(pb.OpenStream, chance) if chance.random() < 0.5 else valid(pb.OpenStream, chance)
        )
    ]
    for number in range(1, chance.randrange(2, 8)):
        if chance.random() < 0.3:
            sent.append(pb.ClassifyStreamRequest(lesson=server.next(pb.Lesson, chance)))
        else:
            frame = server.next(pb.Frame, chance)
            frame.frame_id = frame.frame_id if chance.random() < 0.1 else number
            sent.append(pb.ClassifyStreamRequest(frame=frame))
    if chance.random() < 0.1:
        sent = sent[1:]
    tally.inputs += len(sent)

    async def source() -> AsyncIterator[Any]:
        for message in sent:
            yield message

    try:
        async for reply in server.stub.ClassifyStream(source(), timeout=PATIENCE):
            if reply.WhichOneof("kind") == "answer":
                remember(reply.answer.response)
            status = reply.error.status if reply.HasField("error") else reply.lesson.status
            if status.code == 13:
                tally.fail(f"in a stream: {status.message}", sent)
        tally.accepted += 1
    except grpc.aio.AioRpcError as error:
        refuse(tally, error, sent)


async def infer(server: Server, tally: Tally, chance: random.Random) -> None:
    """One call of a method of the Open Inference Protocol."""
    names = [one for one in INFERENCE if not INFERENCE[one].client_streaming and hasattr(OpenInference, one)]
    name = "ModelInfer" if chance.random() < 0.6 else chance.choice(names)
    method = INFERENCE[name]
    message = server.next(GetMessageClass(method.input_type), chance)
    ask = server.channel.unary_unary(
        INFERENCE_PATH + name, type(message).SerializeToString, GetMessageClass(method.output_type).FromString
    )
    tally.inputs += 1
    try:
        await ask(message, timeout=PATIENCE)
        tally.accepted += 1
    except grpc.aio.AioRpcError as error:
        refuse(tally, error, (name, message))


async def infer_stream(server: Server, tally: Tally, chance: random.Random) -> None:
    """One stream of the Open Inference Protocol."""
    sent = [server.next(oip.ModelInferRequest, chance) for _ in range(chance.randrange(1, 6))]
    for message in sent:
        if chance.random() < 0.7:
            message.parameters["sequence_id"].int64_param = chance.randrange(4)
            message.parameters["sequence_start"].bool_param = chance.random() < 0.5
    tally.inputs += len(sent)
    kinds = oip.ModelInferRequest.SerializeToString, oip.ModelStreamInferResponse.FromString
    ask = server.channel.stream_stream(f"{INFERENCE_PATH}ModelStreamInfer", *kinds)

    async def source() -> AsyncIterator[Any]:
        for message in sent:
            yield message

    try:
        async for reply in ask(source(), timeout=PATIENCE):
            if "failed on this request" in reply.error_message:
                tally.fail(f"in a stream: {reply.error_message}", sent)
        tally.accepted += 1
    except grpc.aio.AioRpcError as error:
        refuse(tally, error, sent)


async def http(server: Server, tally: Tally, chance: random.Random) -> None:
    """One request of HTTP: JSON, a form, a picture as it is, or a head that is changed."""
    route = next(one for one in ROUTES if one.method == "Classify") if chance.random() < 0.5 else chance.choice(ROUTES)
    message = server.next(route.request, chance)
    path, kind, body = route.path, "application/json", b""
    for name in ("session_id", "id", "name", "lesson_group"):
        path = path.replace("{" + name + "}", chance.choice(("a", "b", "nosuch", "%00", "%F0%9F", "x" * 200)))
    way = chance.random()
    if route.method == "Classify" and way < 0.2:
        kind, body = (
            chance.choice(("image/jpeg", "application/octet-stream")),
            fuzz_images.mutate(chance.choice(fuzz_images.whole()), chance),
        )
        path += chance.choice(("?labels=cat,dog", "?labels=cat&options.top_k=x", "?labels_id=x", "?options.seed=1", ""))
    elif route.method == "Classify" and way < 0.4:
        kind, body = "multipart/form-data; boundary=XX", form(chance)
    elif route.body:
        with contextlib.suppress(json_format.Error):
            value = MessageToDict(message, preserving_proto_field_name=True)
            body = json.dumps(
                changed_tree(value if route.body == "*" else value.get(route.body, {}), chance, 0.04)
            ).encode()
        body = fuzz_images.mutate(body, chance) if chance.random() < 0.1 else body
    await send(server, tally, chance, f"{route.verb} {path}", kind, body)


async def infer_http(server: Server, tally: Tally, chance: random.Random) -> None:
    """One request of HTTP to the Open Inference Protocol: an inference, or a question about a model."""
    message = server.next(oip.ModelInferRequest, chance)
    model = chance.choice((message.model_name, "tta", "zero_shot", "tda", "embed", "nosuch", "%00", "x" * 200)) or "tta"
    if chance.random() < 0.2:
        verb = chance.choice(("GET", "POST"))
        return await send(server, tally, chance, f"{verb} {chance.choice(QUESTIONS).format(quote(model))}")
    data, blobs, lines = chance.choice(fuzz_images.whole()), b"", list[str]()
    value: dict[str, Any] = {}
    with contextlib.suppress(json_format.Error):
        value = MessageToDict(message, preserving_proto_field_name=True)
    value["parameters"] = {name: next(iter(one.values()), None) for name, one in value.get("parameters", {}).items()}
    value.pop("raw_input_contents", None)
    if chance.random() < 0.7:  # the picture as JSON or as bytes, else what the message has
        about: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1]}
        if chance.random() < 0.5:
            blobs = fuzz_images.mutate(join_bytes([data]), chance)
            value["inputs"] = [{**about, "parameters": {"binary_data_size": len(blobs)}}]
        else:
            value["inputs"] = [{**about, "data": [base64.b64encode(data).decode()]}]
        value["parameters"]["labels"] = "cat,dog"
    head = json.dumps(changed_tree(value, chance, 0.02)).encode()
    if blobs:
        lines = [f"Inference-Header-Content-Length: {chance.choice((len(head),) * 9 + (0, len(head) + 1, 'x'))}"]
    body = head + blobs
    if chance.random() < 0.1:
        encoding = chance.choice(("gzip", "deflate", "br"))
        body = fuzz_images.mutate(gzip.compress(body), chance) if chance.random() < 0.5 else gzip.compress(body)
        lines.append(f"Content-Encoding: {encoding}")
    path = f"POST /v2/models/{quote(model)}{chance.choice(('', '', '/versions/1', '/versions/2'))}/infer"
    await send(server, tally, chance, path, "application/json", body, *lines)


async def send(
    server: Server, tally: Tally, chance: random.Random, ask: str, kind: str = "", body: bytes = b"", *more: str
) -> None:
    """A request whose head is changed now and then."""
    lines = [
        f"{ask} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *more,
    ]
    if chance.random() < 0.1:
        lines.append(f"X-Timeout-Ms: {chance.choice(('5', 'x', '-1', 'nan', '1e400', ''))}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if chance.random() < 0.05:
        head, ask = fuzz_images.mutate(head[:-4], chance) + b"\r\n\r\n", ""
    tally.inputs += 1
    host, _, port = server.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(head + body)
            reply = await reader.read()
        code = reply[9:12]
        tally.accepted += code == b"200"
        if (ask and not reply.startswith(b"HTTP/1.1 ")) or code == b"500":  # what is no head may be left unanswered
            tally.fail(f"HTTP: {reply[:200]!r}"[:200], head + body)
    except (OSError, TimeoutError) as error:
        tally.fail(f"HTTP: {type(error).__name__}", head + body)
    finally:
        writer.transport.abort()


def form(chance: random.Random) -> bytes:
    """A form of multipart/form-data, by turns a wrong one."""
    parts = [("image", "a.jpg", chance.choice(fuzz_images.whole())), ("labels", "", b"cat,dog")]
    parts += [
        (
            chance.choice(("options.top_k", "options", "labels", "", "image.raw.width", "x")),
            "",
            chance.choice((b"1", b"{}", b'{"a"', b"\xff", b"x" * 999)),
        )
    ]
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        body += f'--XX\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    body += b"--XX--\r\n"
    return fuzz_images.mutate(body, chance) if chance.random() < 0.5 else body


async def web_socket(server: Server, tally: Tally, chance: random.Random) -> None:
    """One stream by WebSocket: JSON and bytes."""
    opening: dict[str, Any] = {"labels": {"label_set": {"names": ["cat", "dog"]}}}
    if chance.random() < 0.5:
        with contextlib.suppress(json_format.Error):
            opening = MessageToDict(server.next(pb.OpenStream, chance), preserving_proto_field_name=True)
    sent: list[str | bytes] = [json.dumps({"open": changed_tree(opening, chance, 0.03)})]
    for number in range(1, chance.randrange(2, 7)):
        head, data = (
            json.dumps({"frame_id": number}).encode(),
            fuzz_images.mutate(chance.choice(fuzz_images.whole()), chance),
        )
        frame: str | bytes = len(head).to_bytes(4, "big") + head + data
        if chance.random() < 0.3:
            value = {"frame": {"frame_id": number, "image": {"encoded": base64.b64encode(data).decode()}}}
            frame = json.dumps(changed_tree(value, chance, 0.05))
        elif chance.random() < 0.2:
            frame = fuzz_images.mutate(frame[:60], chance) + frame[60:]
        sent.append(frame)
    sent.append("")
    tally.inputs += len(sent)
    problem = ""
    try:
        async with (
            asyncio.timeout(PATIENCE),
            connect(f"ws://{server.http}/v1/stream", proxy=None, max_size=None) as socket,
        ):
            try:
                for message in sent:
                    await socket.send(message)
                while True:
                    reply = json.loads(await socket.recv())
                    problem = str(reply["problem"]) if "problem" in reply else problem
                    if (
                        reply.get("error", {}).get("status", {}).get("code") == 13
                        or reply.get("problem", {}).get("status") == 500
                    ):
                        tally.fail(f"WebSocket: {reply}"[:200], sent)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 0
                tally.accepted += code == 1000
                if code not in (1000, 1002, 1007, 1009) and not 4400 <= code < 4500 and code not in (4501, 4503, 4504):
                    tally.fail(f"WebSocket closed with {code}, {problem}"[:200], sent)
    except (OSError, TimeoutError) as error:
        tally.fail(f"WebSocket: {type(error).__name__}", sent)


async def run_door(door: Door, seconds: float, tally: Tally, chance: random.Random) -> dict[str, Any]:
    """So many seconds at a server of its own, beside a neighbour."""
    with start_server([str(HERE / "fuzz_server.py"), json.dumps(KNOBS)]) as started:
        async with neighbour_of(started.address, 0.1) as neighbour:
            server, process = Server(started.address, started.http), psutil.Process(started.pid)
            info = await server.stub.GetServerInfo(pb.GetServerInfoRequest())
            POOLS["fingerprint"][:], POOLS["dimension"][:] = [info.model_fingerprint], [info.dimension]
            began, sizes = time.monotonic(), list[tuple[float, float]]()

            async def loop() -> None:
                while time.monotonic() < began + seconds:
                    await door(server, tally, chance)

            async def watch() -> None:
                while True:
                    sizes.append((time.monotonic() - began, process.memory_info().rss / 1e6))
                    await asyncio.sleep(0.5)

            watching = asyncio.create_task(watch())
            await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
            watching.cancel()
            tally.seconds += time.monotonic() - began
            await server.channel.close()
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                tally.fail("the server has ended", "")
        early = max(size for at, size in sizes if at <= sizes[-1][0] / 3)
        late = max(size for at, size in sizes if at > sizes[-1][0] * 2 / 3)
        if late > 1.05 * early:
            tally.fail(f"memory grew from {early:.0f} to {late:.0f} MB", f"{tally.inputs} inputs")
        for wrong in neighbour.wrong[:3]:
            tally.fail(f"neighbour: {wrong}"[:200], "")
        return {
            "neighbour_calls": neighbour.calls,
            "neighbour_wrong": len(neighbour.wrong),
            "rss_early": early,
            "rss_late": late,
        }


def column(door: Door) -> Callable[[float, Tally, random.Random], Awaitable[dict[str, Any]]]:
    async def run(seconds: float, tally: Tally, chance: random.Random) -> dict[str, Any]:
        return await run_door(door, seconds, tally, chance)

    return run


DOORS = {
    "gRPC": column(call),
    "gRPC, bytes": column(raw_call),
    "gRPC streams": column(stream),
    "inference by gRPC": column(infer),
    "inference streams": column(infer_stream),
    "HTTP": column(http),
    "inference by HTTP": column(infer_http),
    "WebSocket": column(web_socket),
}
