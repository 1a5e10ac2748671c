"""Sixteen cameras send four frames for every answer: answers are of fresh frames, and nothing piles up."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from tests.survival.cameras import LATEST, Camera, most_running_rows, start_service
from tta_service.app import Application

CAMERAS, ANSWERS, AT_ONCE = 16, 12, 4
MIXTURE: list[tuple[str, dict[str, float]]] = [
    ("zero_shot", {}),
    ("tda", {}),
    ("mta", {"views": 4}),
    ("zero", {"views": 20}),  # more than a forward carries here
]


async def test_a_fourfold_load_is_answered_with_fresh_frames_and_leaves_nothing_behind(tmp_path: Path):
    image = noise()
    async with start_service(tmp_path, sessions__store="") as (service, stub):
        tasks, memory = len(asyncio.all_tasks()), psutil.Process().memory_info()
        cameras = [Watched(stub, number, image) for number in range(CAMERAS)]
        for camera in cameras:
            strategy, parameters = MIXTURE[camera.number % len(MIXTURE)]
            await camera.open(strategy, LATEST, parameters=parameters)
        await asyncio.gather(*(watch(camera, service, len(image)) for camera in cameras))
        grown = psutil.Process().memory_info().rss - memory.rss

        for camera in cameras:
            lost = sum(answer.dropped_since_last for answer in camera.answers.values())
            assert len(camera.answers) + lost == camera.sent, "a frame is not accounted for"
            assert max(camera.answers) == camera.sent, "the newest frame was not answered"
            assert [answer.frame_id for answer in camera.answers.values()] == sorted(camera.answers)
        sent = sum(camera.sent for camera in cameras)
        answered = sum(len(camera.answers) for camera in cameras)
        assert sent > 2 * answered, "this was no overload"
        counts = {
            what: number(service, f"tta_frames_{what}_total", policy="latest") for what in ("received", "answered")
        }
        assert counts == {"received": sent, "answered": answered}
        assert number(service, "tta_frames_dropped_total", policy="latest", reason="superseded") == sent - answered
        assert grown < sent * len(image) / 2, "memory grows with the frames"
        assert service.runtime.sessions.counters.sessions == service.runtime.sessions.counters.bytes == 0
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - grpc ends its own
            await asyncio.sleep(0.01)


class Watched(Camera):
    """Sends the same large picture again and again, and knows how far behind its answers are."""

    def __init__(self, stub: Any, number: int, image: bytes) -> None:
        super().__init__(stub, number)
        self.image, self.behind = image, list[int]()

    def picture(self, number: int) -> bytes:
        return self.image


async def watch(camera: Watched, service: Application, size: int) -> None:
    """Until it has its answers; looks at the server with each of them."""

    async def listening() -> None:
        while (reply := await camera.read()) is not None:
            if reply.WhichOneof("kind") == "answer":
                camera.behind.append(camera.sent - reply.answer.frame_id)
                admission = service.runtime.admission
                assert admission.running_requests == 1 or admission.running_rows <= most_running_rows(service)
                assert admission.depths["streams"] <= CAMERAS
                if len(camera.answers) % 4:
                    continue  # a look at the metrics costs as much as an answer
                waiting = number(service, "tta_queue_bytes", queue="streams")
                assert waiting <= CAMERAS * (size + 100), "more than the newest frame of each camera waits"

    listener = asyncio.create_task(listening())
    async for _ in camera.keep_sending(AT_ONCE):
        if len(camera.answers) >= ANSWERS:
            break
    await camera.call.done_writing()
    await listener
    # Four come with an answer, and four with the one before it were perhaps not read when this one was chosen; a loop
    # that answers every frame would be 3 more behind with each answer.
    assert max(camera.behind) <= 4 * AT_ONCE < 3 * ANSWERS


def number(service: Application, name: str, **labels: str) -> float:
    """Of the service's metrics."""
    return service.metrics.registry.get_sample_value(name, labels) or 0.0


def noise(side: int = 700) -> bytes:
    """A JPEG that does not compress: about half a megabyte."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
