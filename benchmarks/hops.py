"""How many of the service's own calls one request makes, through how many functions and files.

Counts the calls of Python functions of `tta_service` (a coroutine once, however often it goes on; comprehensions not at
all), in all threads of a server with the pocket model, by `sys.setprofile`: for a unary zero-shot request and for one
frame of a `tda` stream. Counts do not depend on the machine; the median of several requests is taken.

    python benchmarks/hops.py [--requests 20]

Writes benchmarks/results/hops.json: what is there under other names than --name stays, so before and after stand
beside each other.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc
import numpy as np
from PIL import Image

import tta_service
from tta_service.app import Application
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.wire.v1 import tta_pb2 as pb

PACKAGE = str(Path(tta_service.__file__).parent)
OUT = Path(__file__).parent / "results" / "hops.json"
QUIET = {"server.port": 0, "metrics.enabled": False, "http.enabled": False, "batch.max_rows": 64, "log.level": "error"}
LABELS = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog", "house"]))


class Counter:
    """Counts calls into the package while it is `on`."""

    def __init__(self) -> None:
        self.on = False
        self.frames: set[FrameType] = set()  # of calls; held, so that no later call is taken for one of them

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if not self.on or event != "call" or code.co_name.endswith(("comp>", "<genexpr>")):
            return
        if code.co_filename.startswith(PACKAGE):
            self.frames.add(frame)

    async def count(self, ask: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        """Of one request, and of what the server still does for it once it is answered."""
        self.frames.clear()
        self.on = True
        await ask()
        await asyncio.sleep(0.05)
        self.on = False
        functions: set[CodeType] = {frame.f_code for frame in self.frames}
        files = {function.co_filename for function in functions}
        return {"calls": len(self.frames), "functions": len(functions), "files": len(files)}


async def measure(requests: int) -> dict[str, dict[str, int]]:
    counter = Counter()
    threading.setprofile(counter.profile)  # of the executors' threads, which start later
    sys.setprofile(counter.profile)
    async with Application(load(QUIET)) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = AdaptationServiceStub(channel)
        image, numbers = pb.Image(encoded=_jpeg()), iter(range(1, 10_000))
        unary = pb.ClassifyRequest(image=image, labels=LABELS)
        opening = pb.OpenStream(labels=LABELS, policy=pb.OpenStream.POLICY_BLOCK)
        opening.options.strategy.name = "tda"
        stream = stub.ClassifyStream()
        await stream.write(pb.ClassifyStreamRequest(open=opening))

        async def frame() -> None:
            await stream.write(pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=next(numbers), image=image)))
            while (await stream.read()).WhichOneof("kind") != "answer":
                pass

        found = {
            "unary zero_shot": await _median(counter, lambda: stub.Classify(unary), requests),
            "tda stream frame": await _median(counter, frame, requests),
        }
        await stream.done_writing()
        sys.setprofile(None)
        return found


async def _median(counter: Counter, ask: Callable[[], Awaitable[Any]], requests: int) -> dict[str, int]:
    for _ in range(20):  # costs are learnt and caches filled
        await ask()
    counts = [await counter.count(ask) for _ in range(requests)]
    return {name: round(statistics.median(count[name] for count in counts)) for name in counts[0]}


def _jpeg() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--name", default="now", help="under which the counts are kept")
    args = parser.parse_args()
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    kept[args.name] = asyncio.run(measure(args.requests))
    OUT.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(kept[args.name], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
