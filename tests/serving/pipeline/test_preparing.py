"""Pictures are decoded in fair turns, and large ones leave a thread to the others."""

from __future__ import annotations

import asyncio
import threading

import torch
from torch import Tensor

from tests.patience import PATIENCE
from tests.serving.harness import acquire, harness, make_request
from tta_service.core.request import Encoded, Raw
from tta_service.images.headers import guess_pixels
from tta_service.serving.pipeline.resources import work_of
from tta_service.strategies.zero_shot import ZeroShot


def picture(width: int, height: int, name: str = "") -> Encoded:
    """What the beginning of a PNG says, for a decoder that reads no more."""
    return Encoded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + name.encode())


class Decoder:
    """Stands in the lane until it may go on."""

    def __init__(self) -> None:
        self.begun, self.started, self.go = list[str](), threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, image: Encoded | Raw) -> Tensor:
        assert isinstance(image, Encoded)
        name = image.data[24:].decode()
        if name:
            self.begun.append(name)
            self.started.release()
            assert self.go.acquire(timeout=PATIENCE)
        return torch.zeros(3, 48, 48, dtype=torch.uint8)


async def test_large_pictures_leave_a_thread_to_small_ones():
    decoder = Decoder()
    async with harness(decode=decoder, capacity=1000) as service:
        flood = [make_request(image=picture(4000, 3000, "large")) for _ in range(6)]
        tasks = [asyncio.create_task(service.engine.classify(each)) for each in flood]
        await acquire(decoder.started)
        for _ in range(3):
            await service.engine.classify(make_request(image=picture(48, 48)))
        assert decoder.begun == ["large"]
        decoder.go.release(6)
        await asyncio.gather(*tasks)


async def test_who_sends_many_pictures_keeps_no_other_client_waiting_for_all_of_them():
    decoder = Decoder()
    async with harness(decode=decoder, capacity=1000) as service:
        flood = [make_request(image=picture(1000, 1000, "greedy"), client="greedy") for _ in range(20)]
        tasks = [asyncio.create_task(service.engine.classify(each)) for each in flood]
        await acquire(decoder.started, 2)
        request = make_request(image=picture(1000, 1000, "gate"), client="gate")
        gate = asyncio.create_task(service.engine.classify(request))
        await asyncio.sleep(0.01)
        decoder.go.release(21)
        await asyncio.gather(gate, *tasks)
        assert decoder.begun.index("gate") <= 4  # two were running, one was in the lane


def test_large_pictures_count_as_more_rows():
    rows = {side: work_of(make_request(image=picture(side, side)), ZeroShot()) for side in (480, 1024, 4000)}
    assert rows == {480: (1, 1), 1024: (3, 3), 4000: (31, 31)}
    assert guess_pixels(picture(4000, 4000).data) == 16_000_000
