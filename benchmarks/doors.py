"""One zero-shot answer by each transport, beside the engine alone: p50 and processor time, client and server together.

    python benchmarks/doors.py [--answers 300]

Everything is in one process and one at a time, the doors in turn, so that all see the same machine. gRPC's client is
its own, in C; that of REST only writes bytes to a connection that stays open, and "rest httpx" has one in Python.
Writes benchmarks/results/doors.json.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import httpx
import numpy as np
from machine import load_average, processor
from PIL import Image
from uvloop import new_event_loop  # the service's own
from websockets.asyncio.client import connect

from tta_service.app import Application
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded, Request
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.wire.oip.models import OPEN_INFERENCE
from tta_service.wire.oip.tensors import join_bytes
from tta_service.wire.v1 import open_inference_pb2 as oip
from tta_service.wire.v1 import tta_pb2 as pb

OUT = Path(__file__).resolve().parent / "results" / "doors.json"
NAMES = ("cat", "dog", "house")
QUIET = {"server.port": 0, "http.port": 0, "metrics.enabled": False, "batch.max_rows": 4, "log.level": "error"}


def picture() -> bytes:
    """A JPEG of 320 × 240 smooth random colours."""
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


class Connection:
    """An open connection to a server of HTTP/1.1."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(*self._address.rsplit(":", 1))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, kind: str, body: bytes, **headers: object) -> bytes:
        """The body of the response."""
        headers = {"Host": "localhost", "Content-Type": kind, "Content-Length": len(body), **headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]
        self._writer.write("\r\n".join(lines).encode() + body)
        status, _, fields = (await self._reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        found = await self._reader.readexactly(int(re.search(rb"(?im)^content-length: (\d+)", fields)[1]))  # type: ignore[index]
        assert status == b"HTTP/1.1 200 OK", found
        return found


async def measure(answers: int) -> dict[str, tuple[float, float]]:
    """Milliseconds by door: the median of an answer, and processor time of one."""
    jpeg, taken = picture(), dict[str, list[tuple[float, float]]]()
    async with (
        Application(load(QUIET)) as service,
        grpc.aio.insecure_channel(service.address) as channel,
        httpx.AsyncClient(base_url=f"http://{service.http_address}", trust_env=False) as http,
        Connection(service.http_address) as plain_http,
        connect(f"ws://{service.http_address}/v1/stream", proxy=None) as socket,
    ):
        stub, labels = AdaptationServiceStub(channel), pb.Labels(label_set=pb.LabelSet(names=NAMES))
        plain, none = strategies.build("zero_shot"), Reduction(reducers.build("none"))
        body = {"image": {"encoded": base64.b64encode(jpeg).decode()}, "labels": {"label_set": {"names": NAMES}}}
        await socket.send(json.dumps({"open": {"labels": body["labels"], "policy": "POLICY_BLOCK"}}))
        form = httpx.Request("POST", "http://-/", files={"image": jpeg}, data={"labels": ",".join(NAMES)})
        form_type, form_body = form.headers["content-type"], form.read()
        frames, tensors = iter(range(1, 1 << 30)), join_bytes([jpeg])
        infer = channel.unary_unary(
            f"/{OPEN_INFERENCE}/ModelInfer", oip.ModelInferRequest.SerializeToString, oip.ModelInferResponse.FromString
        )
        about = {"name": "image", "datatype": "BYTES", "shape": [1, 1]}

        async def by_web_socket() -> None:
            head = json.dumps({"frame_id": next(frames)}).encode()
            await socket.send(len(head).to_bytes(4, "big") + head + jpeg)
            while '{"answer"' not in str(await socket.recv()):
                pass

        def by_oip() -> Awaitable[object]:
            message = oip.ModelInferRequest(model_name="zero_shot", raw_input_contents=[tensors])
            message.inputs.add(**about)
            message.parameters["labels"].string_param = ",".join(NAMES)
            return infer(message)

        def by_oip_on_http() -> Awaitable[object]:
            parameters = {"labels": ",".join(NAMES), "binary_data_output": True}
            inputs = [{**about, "parameters": {"binary_data_size": len(tensors)}}]
            head = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
            more = {"Inference-Header-Content-Length": len(head)}
            return plain_http.post("/v2/models/zero_shot/infer", "application/octet-stream", head + tensors, **more)

        doors: dict[str, Callable[[], Awaitable[object]]] = {
            "engine": lambda: service.runtime.engine.classify(Request(Encoded(jpeg), LabelSet(NAMES), plain, none)),
            "grpc": lambda: stub.Classify(pb.ClassifyRequest(image=pb.Image(encoded=jpeg), labels=labels)),
            "rest json": lambda: plain_http.post("/v1/classify", "application/json", json.dumps(body).encode()),
            "rest form": lambda: plain_http.post("/v1/classify", form_type, form_body),
            "rest httpx": lambda: http.post("/v1/classify", json=body),
            "oip grpc": by_oip,
            "oip http": by_oip_on_http,
            "websocket": by_web_socket,
        }
        for turn in range(answers + 10):
            for name, ask in doors.items():
                began, busy = time.perf_counter(), time.process_time()
                await ask()
                spent = (time.perf_counter() - began, time.process_time() - busy)
                taken.setdefault(name, []).extend([spent] if turn >= 10 else [])
    return {
        name: (1000 * statistics.median(one[0] for one in rows), 1000 * statistics.fmean(one[1] for one in rows))
        for name, rows in taken.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=300)
    print(f"{'door':<12}{'p50, ms':>9}{'CPU, ms':>9}")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        found = runner.run(measure(parser.parse_args().answers))
    for door, (p50, cpu) in found.items():
        print(f"{door:<12}{p50:>9.2f}{cpu:>9.2f}")
    doors = {door: {"p50_ms": round(p50, 2), "cpu_ms": round(cpu, 2)} for door, (p50, cpu) in found.items()}
    result = {"machine": processor(), "load_average": load_average(), **doors}
    OUT.write_text(json.dumps(result, indent=1) + "\n")
