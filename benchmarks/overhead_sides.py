"""The two sides that overhead.py measures, each run in a process of its own: `client` and `alone`."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from itertools import chain
from typing import Any

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")


def pictures(count: int) -> list[bytes]:
    """What the virtual camera sees, as the JPEGs that a camera sends."""
    from tta_client.camera import VirtualSource, encode_jpegs

    return [frame.image for frame in encode_jpegs(VirtualSource(frames=count, shot=3))]


def client(address: str, streams: int, strategy: str, views: int, requests: int) -> None:
    """Prints "warm", waits for a line, streams, prints what happened. Each stream keeps two frames under way."""
    from tta_client import AsyncClient, Choice, FrameAnswer
    from tta_client.camera.photographs import LABELS

    images, choice = pictures(24), Choice(strategy, _parameters(views))
    each = -(-requests // streams)

    async def camera(to: AsyncClient, number: int, frames: int) -> list[Any]:
        shown = (images[(number * 7 + n) % len(images)] for n in range(frames))
        results = [r async for r in to.stream(shown, LABELS, choice, in_flight=2)]
        assert all(isinstance(r, FrameAnswer) for r in results), results
        return [r.answer for r in results]

    async def run() -> None:
        async with AsyncClient(address) as to:
            await asyncio.gather(*(camera(to, n, 1) for n in range(streams)))
            print("warm", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            began = time.monotonic()
            answers = list(chain(*await asyncio.gather(*(camera(to, n, each) for n in range(streams)))))
            seconds = time.monotonic() - began
        result = {
            "requests": len(answers),
            "seconds": seconds,
            "batch_rows": statistics.mode(a.batch_rows for a in answers),
            "milliseconds": {stage: _spread(getattr(a.timings, stage) for a in answers) for stage in STAGES},
        }
        print(json.dumps(result), flush=True)

    asyncio.run(run())


def alone(strategy: str, views: int, requests: int, cores: int) -> None:
    """CPU seconds of the work itself: the service's functions, in lanes like the service's, one after the other.

    Prints "warm"; then measures anew for each line, the number of rows in a forward, that it reads.
    """
    import torch
    from tta_client.camera.photographs import LABELS

    from tta_service.clip.load import load
    from tta_service.core.catalogue import reducers, strategies
    from tta_service.core.evidence import Evidence
    from tta_service.core.labels import LabelSet
    from tta_service.core.reducer import Reduction
    from tta_service.core.request import Encoded
    from tta_service.images.decode import decode
    from tta_service.images.views import look
    from tta_service.serving.concurrency import make_executors

    clip, lane, exact = load(), make_executors(cores=cores), Reduction(reducers.build("none"))
    chosen = strategies.build(strategy, _parameters(views))
    images, needs = pictures(24), chosen.needs()
    text = lane.device.submit(clip.text_space, LabelSet(LABELS)).result()
    memory = [chosen.begin(text)]

    def prepare(number: int) -> torch.Tensor:
        pixels = decode(Encoded(images[number % len(images)]))
        return look(pixels, clip.image_size, needs.views, number, needs.augment).pixels

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        return clip.encode_image(pixels, exact)

    def adapt(features: torch.Tensor) -> None:
        _, memory[0] = chosen.adapt(Evidence(features, text), memory[0])

    print("warm", flush=True)
    for line in sys.stdin:
        seen, prepare_cpu, _ = _time(lane.prepare, prepare, range(requests))
        pixels = torch.cat(seen)
        pieces = pixels[: len(pixels) // int(line) * int(line)].split(int(line))
        encoded, encode_cpu, seconds = _time(lane.device, encode, pieces)
        features = torch.cat(encoded).split(views)
        _, adapt_cpu, _ = _time(lane.adapt, adapt, [f for f in features if len(f) == views])
        rows = sum(map(len, pieces))
        result = {
            "prepare": prepare_cpu / requests,
            "encode": encode_cpu / rows * views,
            "adapt": adapt_cpu / (rows // views),
            "rows_per_second": rows / seconds,
        }
        print(json.dumps(result), flush=True)
    lane.close()


def _parameters(views: int) -> dict[str, int]:
    """One view is what strategies without such a parameter take."""
    return {"views": views} if views > 1 else {}


def _time(lane: Executor, work: Callable[[Any], Any], given: Iterable[Any]) -> tuple[list[Any], float, float]:
    """Results, CPU seconds of this whole process, seconds; the first piece of work is done once before, unmeasured."""
    pieces = list(given)
    lane.submit(work, pieces[0]).result()
    cpu, began = time.process_time(), time.monotonic()
    results = [lane.submit(work, piece).result() for piece in pieces]
    return results, time.process_time() - cpu, time.monotonic() - began


def _spread(values: Iterable[float]) -> tuple[float, float]:
    """p50 and p95 in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[len(ordered) // 2], 1000 * ordered[int(0.95 * (len(ordered) - 1))]


if __name__ == "__main__":
    {"client": client, "alone": alone}[sys.argv[1]](**json.loads(sys.argv[2]))
