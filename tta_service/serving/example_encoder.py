"""Features of this server's model for the pictures that people teach, and again for those that another model knew."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from ..core.catalogue import strategies
from ..core.errors import BadLabels, TTAError
from ..core.lessons import Example, Lesson, LessonRequest
from ..core.reducer import Reduction
from ..core.request import Encoded, Features, Raw, Request
from .concurrency import Executors, run
from .engine import Engine
from .sessions.memory import reduction_of

AT_ONCE, TRIES = 4, 5  # thumbnails of one session under way; tries while the server is overloaded
log = logging.getLogger(__name__)


class ExampleEncoder:
    """Pictures go through the engine like every other request, so they wait for admission and share batches."""

    def __init__(self, engine: Engine, lanes: Executors) -> None:
        self._engine, self._lanes = engine, lanes

    async def encode(
        self, owner: str, image: Encoded | Raw | Features, lesson: LessonRequest, client: str = ""
    ) -> Example:
        """A picture's example, whose id is a digest: the same picture with the same reduction is the same example.

        Raises `BadLabels` for a lesson without labels, and what classifying a picture raises.
        """
        if lesson.labels is None:
            raise BadLabels("there are no labels: a picture that is no frame of the session needs them", "labels")
        plain = strategies.build("zero_shot")
        request = Request(image, lesson.labels, plain, lesson.reduction, owner=owner, client=client, remember=True)
        report = await self._engine.classify(request)
        assert report.example is not None
        reduction = reduction_of(request)
        id = await run(self._lanes.prepare, _identify, image, reduction)
        return Example(id, report.example, lesson.labels, reduction, time.time(), thumbnail=report.thumbnail)

    async def encode_again(self, owner: str, example: Example, client: str = "") -> Example:
        """The example with features of this server's model if its thumbnail gives them, else as it is.

        Features that a client made are never made again. Raises what classifying a picture raises.
        """
        if not example.set_apart or not example.thumbnail or example.reduction is None:
            return example
        request = LessonRequest(example, None, example.labels, example.reduction)
        again = await self.encode(owner, Encoded(example.thumbnail), request, client)
        return replace(example, views=again.views, other_model="")

    async def encode_lessons(self, owner: str, lessons: Sequence[Lesson]) -> list[Lesson]:
        """The lessons, those that are set apart encoded again where that is possible. Raises nothing."""
        places = asyncio.Semaphore(AT_ONCE)

        async def encode(lesson: Lesson) -> Lesson:
            async with places:
                return replace(lesson, example=await self._try_again(owner, lesson.example))

        return list(await asyncio.gather(*map(encode, lessons)))

    async def _try_again(self, owner: str, example: Example) -> Example:
        for left in reversed(range(TRIES)):
            try:
                return await self.encode_again(owner, example)
            except TTAError as error:
                if error.retry_after is None or not left:
                    log.warning("the thumbnail of example %s cannot be encoded: %s", example.id, error.message)
                    break
                await asyncio.sleep(error.retry_after)
        return example


def _identify(image: Encoded | Raw | Features, reduction: Reduction | None) -> str:
    """The id of a picture, which has one for each way to reduce it: a lesson is for memories of its reduction."""
    match image:
        case Encoded(data):
            content = data
        case Raw():
            content = repr((image.width, image.height, image.format)).encode() + image.pixels
        case Features(rows):
            content = rows.cpu().numpy().tobytes()
    if reduction is not None and (reduction.reducer.name, reduction.scope) != ("none", "all"):
        content += repr(reduction).encode()
    return f"picture-{hashlib.sha256(content).hexdigest()[:24]}"
