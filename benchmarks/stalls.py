"""How long bodies of 8 MB hold the server's event loop: every way in which a picture comes by HTTP.

    python benchmarks/stalls.py [--times 20]

A server with the pocket model is in this process; its client, which only writes bytes, has one of its own. A task that
sleeps half a millisecond at a time measures how late it wakes up, by the clock: so all counts that keeps the loop
waiting, also threads that hold the interpreter while they read bodies. "nothing" is the same without requests: what the
machine adds. Writes benchmarks/results/stalls.json.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import io
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import numpy as np
from machine import load_average, processor
from PIL import Image
from uvloop import new_event_loop  # the service's own

from tta_service.app import Application
from tta_service.app.commands import SWITCH
from tta_service.settings import load
from tta_service.wire.oip.tensors import join_bytes

OUT = Path(__file__).resolve().parent / "results" / "stalls.json"
SETTINGS = {"server.port": 0, "http.port": 0, "metrics.enabled": False, "batch.max_rows": 4, "log.level": "error"}
NAMES, SLEEP, JSON, BYTES = "cat,dog,house", 0.0005, "application/json", "application/octet-stream"


def picture() -> bytes:
    """A JPEG of nearly 8 MB, the most that the server takes: 10.7 megapixels of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2900, 3700, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=85)
    return file.getvalue()


def bodies() -> dict[str, tuple[str, dict[str, str], bytes]]:
    """Path, headers and body by the name of the way."""
    jpeg = picture()
    text = base64.b64encode(jpeg).decode()
    form = httpx.Request("POST", "http://-/", files={"image": jpeg}, data={"labels": NAMES})
    whole = {"image": {"encoded": text}, "labels": {"label_set": {"names": NAMES.split(",")}}}
    infer, tensor = "/v2/models/zero_shot/infer", {"name": "image", "datatype": "BYTES", "shape": [1]}
    inputs = [{**tensor, "parameters": {"binary_data_size": len(jpeg) + 4}}]
    head = json.dumps({"inputs": inputs, "parameters": {"labels": NAMES}}).encode()
    in_json = json.dumps({"inputs": [{**tensor, "data": [text]}], "parameters": {"labels": NAMES}}).encode()
    size = {"Inference-Header-Content-Length": str(len(head))}
    return {
        "rest json": ("/v1/classify", {"Content-Type": JSON}, json.dumps(whole).encode()),
        "rest form": ("/v1/classify", {"Content-Type": form.headers["content-type"]}, form.read()),
        "rest picture": (f"/v1/classify?labels={NAMES}", {"Content-Type": "image/jpeg"}, jpeg),
        "oip bytes": (infer, {"Content-Type": BYTES, **size}, head + join_bytes([jpeg])),
        "oip json": (infer, {"Content-Type": JSON}, in_json),
    }


async def measure(times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each request's longest stall, by way: the median and the worst of all."""
    found = dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        async with Application(load(SETTINGS)) as service, client(service.http_address) as ask:
            for name, (path, headers, body) in bodies().items():
                (file := Path(folder) / name).write_bytes(body)
                del body
                stalls = [await longest_stall(ask(path, headers, file)) for _ in range(times + 2)][2:]
                found[name] = {"median_ms": statistics.median(stalls), "worst_ms": max(stalls)}
            stalls = [await longest_stall(asyncio.sleep(0.5)) for _ in range(times)]
            found["nothing"] = {"median_ms": statistics.median(stalls), "worst_ms": max(stalls)}
    return found


async def longest_stall(work) -> float:
    """Milliseconds that the loop was late at most while it did the work."""
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            due = time.perf_counter() + SLEEP
            await asyncio.sleep(SLEEP)
            worst = max(worst, time.perf_counter() - due)

    beating = asyncio.create_task(beat())
    await work
    beating.cancel()
    return 1000 * worst


@contextlib.asynccontextmanager
async def client(address: str) -> AsyncGenerator:
    """Sends bodies that are files, from a process of its own."""
    words = (sys.executable, __file__, "--client", address)
    process = await asyncio.create_subprocess_exec(*words, stdin=-1, stdout=-1)

    async def ask(path: str, headers: dict[str, str], file: Path) -> None:
        process.stdin.write(json.dumps([path, headers, str(file)]).encode() + b"\n")
        if (reply := await process.stdout.readline()).strip() != b"200":
            raise SystemExit(f"{path}: {reply.decode()}")

    try:
        yield ask
    finally:
        process.stdin.close()
        await process.wait()


def send_bodies(address: str) -> None:
    """The client's side: a request for each line, and the status of its answer."""
    connection = http.client.HTTPConnection(address)
    for line in sys.stdin:
        path, headers, file = json.loads(line)
        connection.request("POST", path, Path(file).read_bytes(), headers)
        answer = connection.getresponse()
        text = answer.read()
        print(answer.status if answer.status == 200 else text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        send_bodies(args.client)
        return 0
    sys.setswitchinterval(SWITCH)  # as `tta-service serve`
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        found = runner.run(measure(args.times))
    print(f"{'way':<14}{'median, ms':>12}{'worst, ms':>12}")
    for name, stalls in found.items():
        print(f"{name:<14}{stalls['median_ms']:>12.2f}{stalls['worst_ms']:>12.2f}")
    rounded = {name: {what: math.ceil(100 * ms) / 100 for what, ms in stalls.items()} for name, stalls in found.items()}
    result = {"machine": processor(), "load_average": load_average(), "times": args.times, "stalls": rounded}
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
