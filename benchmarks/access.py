"""What TLS and an API key cost a frame of a stream, in one run.

Two services in this process share nothing but the processor: one on plain HTTP/2 that asks nobody, one with TLS and a
key. A camera streams a JPEG to both in turn and waits for each answer; the order changes from pair to pair, so that
both see the same load. The model is a fake one, whose answer costs little. Client and server are one process, so both
sides of TLS are counted.

    python benchmarks/access.py [PAIRS]

Writes benchmarks/results/access.json.
"""

from __future__ import annotations

import asyncio
import io
import json
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from machine import processor
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))
import make_secrets

from tta_service.app import Application
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

OUT = Path(__file__).parent / "results" / "access.json"
WARM_UP = 200
QUICK = {"server.port": 0, "http.enabled": False, "metrics.enabled": False, "batch.max_rows": 1, "lanes.cores": 1}


def picture() -> bytes:
    """A JPEG of about 40 kB, as `tta-camera` sends."""
    noise = np.random.default_rng(0).integers(0, 256, (56, 75, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((448, 336), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


class Camera:
    """A stream that waits for each answer."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._call: Any = AdaptationServiceStub(channel).ClassifyStream(metadata=metadata)
        self._last = 0

    async def open(self) -> None:
        """Open the stream."""
        opening = pb.OpenStream(session_id="cam", policy=pb.OpenStream.POLICY_BLOCK)
        opening.labels.label_set.names.extend(["cat", "dog"])
        await self._call.write(pb.ClassifyStreamRequest(open=opening))

    async def frame(self, image: bytes) -> float:
        """Seconds from a frame to its answer."""
        self._last += 1
        message = pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=self._last, image=pb.Image(encoded=image)))
        began = time.perf_counter()
        await self._call.write(message)
        while (await self._call.read()).WhichOneof("kind") != "answer":
            pass
        return time.perf_counter() - began


async def measure(pairs: int) -> dict[str, list[float]]:
    """Seconds of each frame by service."""
    image = picture()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_secrets.main(folder, ["localhost"])
        secret = folder / "service"
        access = {
            "server.keys": str(secret / "keys.json"),
            "server.tls.certificate": str(secret / "server.crt"),
            "server.tls.key": str(secret / "server.key"),
        }
        plain, protected = [
            await stack.enter_async_context(Application(load(QUICK | more), FakeCLIP()))  # type: ignore[arg-type]
            for more in ({}, access)
        ]
        trust = grpc.ssl_channel_credentials((secret / "ca.pem").read_bytes())
        where = protected.address.replace("127.0.0.1", "localhost")
        channels = [grpc.aio.insecure_channel(plain.address), grpc.aio.secure_channel(where, trust)]
        key = (("authorization", f"Bearer {(folder / 'camera' / 'token').read_text()}"),)
        cameras = {"plain": Camera(channels[0]), "TLS and key": Camera(channels[1], key)}
        for channel, camera in zip(channels, cameras.values()):
            await stack.enter_async_context(channel)
            await camera.open()
        seconds: dict[str, list[float]] = {name: [] for name in cameras}
        for number in range(WARM_UP + pairs):
            for name in list(cameras)[:: 1 if number % 2 else -1]:
                taken = await cameras[name].frame(image)
                if number >= WARM_UP:
                    seconds[name].append(taken)
        return seconds


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seconds = asyncio.run(measure(pairs))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    more = statistics.median(b - a for a, b in zip(*seconds.values()))
    result = {
        "processor": processor(),
        "date": datetime.now(UTC).date().isoformat(),
        "pairs": pairs,
        "frame_bytes": len(picture()),
        "median_milliseconds": {name: round(1e3 * median, 4) for name, median in medians.items()},
        "ratio": round(medians["TLS and key"] / medians["plain"], 4),
        "milliseconds_more_a_frame": round(1e3 * more, 4),
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
