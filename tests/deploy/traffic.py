"""Traffic of real cameras and callers, and faults on purpose: drops, refusals, fallbacks, evictions."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Iterable

import grpc
from PIL import Image
from tta_client import Answer, Choice, FrameAnswer, Options, TTAClientError
from tta_client.aio.client import AsyncClient
from tta_client.camera.photographs import LABELS, find_photographs
from tta_client.types.requests import Policy

STRATEGIES = (
    Choice("tda", {"views": 4}),
    Choice("zero", {"views": 4}),
    Choice("tpt", {"views": 4}),
)
MANY = Choice("zero", {"views": 32})
MOST = Choice("zero", {"views": 512})


def pictures() -> list[bytes]:
    """Real photographs, made small: what is tested here is not the decoder."""
    found: list[bytes] = []
    for photograph in find_photographs():
        small, file = Image.open(photograph.path).convert("RGB"), io.BytesIO()
        small.thumbnail((160, 160))
        small.save(file, "JPEG")
        found.append(file.getvalue())
    return found


async def everyday(client: AsyncClient, images: list[bytes]) -> None:
    """Cameras with several strategies; every answer explained, so that what is sampled elsewhere is there."""
    await _watched(client, images * 8, Options("zero_shot"), session="drift")  # enough of one strategy for its drift
    for choice in STRATEGIES:
        await _watched(client, images[:4], Options(choice, explain=True), session=f"camera-{choice.name}")
    await _taught(client, images)
    await _watched(client, images[:3], Options("zero_shot", reducer="tome", explain=True), session="thrifty")
    await client.classify(images[0], LABELS, "zero_shot")


async def faults(client: AsyncClient, images: list[bytes]) -> None:
    """A camera that is too fast, more calls than may be queued, short deadlines, an image that is none, too many
    sessions."""
    await _watched(client, images * 6, Options(MANY), policy="latest")
    crowd = await asyncio.gather(*(_code(client.classify(image, LABELS, MANY)) for image in images * 2))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in crowd
    assert await until_degraded(client, images[0])
    assert await _code(client.classify(b"no picture", LABELS)) is grpc.StatusCode.INVALID_ARGUMENT
    for number in range(8):
        await client.classify(images[0], LABELS, Choice("tda", {"views": 1}), session=f"passer-by-{number}")


async def moves(client: AsyncClient, images: list[bytes]) -> None:
    """A session that is saved, ended and brought back, and reset."""
    learns = Choice("tda", {"views": 4})
    await client.classify(images[0], LABELS, learns, session="moving")
    saved = await client.snapshot("moving")
    await client.close_session("moving")
    await client.restore(saved)
    await client.classify(images[1], LABELS, learns, session="moving")
    await client.reset_session("moving")
    await client.classify(images[2], LABELS, learns, session="moving")


async def until_degraded(client: AsyncClient, image: bytes) -> bool:
    """Less and less time for very many views, or more of it where nothing came of that, until an answer says that less
    was done: how much that is depends on the machine."""
    seconds = 4.0
    for _ in range(20):
        try:
            if (await client.classify(image, LABELS, MOST, timeout=seconds)).degraded:
                return True
            seconds *= 0.5
        except TTAClientError as error:
            assert error.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
            seconds *= 1.5
    return False


async def _taught(client: AsyncClient, images: list[bytes]) -> None:
    """A session that asks about two pictures, of which a person answers one; all answers are deferred."""
    asking = Options("taught", ask=True, defer_below=1.0)
    answers = [await client.classify(image, LABELS, session="taught", options=asking) for image in images[:2]]
    await client.teach("taught", example=answers[0].example_id, label=LABELS[0])


async def _watched(
    client: AsyncClient, images: Iterable[bytes], options: Options, policy: Policy = "block", session: str = ""
) -> int:
    """How many frames of a stream were answered."""
    stream = client.stream(images, LABELS, options=options, policy=policy, session=session, paced=False)
    return sum([isinstance(result, FrameAnswer) async for result in stream])


async def _code(call: Awaitable[Answer]) -> grpc.StatusCode:
    try:
        await call
    except TTAClientError as error:
        return error.code
    return grpc.StatusCode.OK
