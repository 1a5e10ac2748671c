"""The method that gives features in place of an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from torch import Tensor

from ..core.errors import BadRequest, TTAError
from ..core.labels import LabelSet
from ..serving.engine import Engine
from ..serving.text.cache import TextSpaceCache
from ..wire.explanations import to_list
from ..wire.identity import current_caller
from ..wire.requests import ParsedRequest, parse_label_set, parse_request, trace_of
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .context import Context

PLAIN = pb.LabelSet(names=["picture"], templates=["{}"])  # pictures wait, run and are counted like those of answers
AT_ONCE = 8  # pictures of one call in the engine


class EmbeddingMethods:
    """Unit features of pictures and texts."""

    def __init__(self, engine: Engine, text_spaces: TextSpaceCache, server_info: ServerInfo) -> None:
        self._engine, self._text_spaces, self._server_info = engine, text_spaces, server_info

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """The features of pictures or texts. One that is wrong fails the call, with its place in the field."""
        if bool(request.images) == bool(request.texts):
            raise BadRequest("give images or texts, one or more", "images")
        if len(request.images) > self._server_info.limits.views:
            most = self._server_info.limits.views
            raise BadRequest(f"{len(request.images)} images; this server takes at most {most} at once", "images")
        rows = await (self._embed_images(request, context) if request.images else self._embed_texts(request))
        embeddings = [pb.Embedding(values=to_list(row)) for row in rows]
        return pb.EmbedResponse(embeddings=embeddings, model_fingerprint=self._server_info.fingerprint)

    async def _embed_texts(self, request: pb.EmbedRequest) -> list[Tensor]:
        templates = list(request.templates) or ["{}"]
        given = pb.LabelSet(names=request.texts, templates=templates, allow_duplicates=True)
        try:
            space = await self._text_spaces.get(parse_label_set(given, self._server_info, ""), current_caller().client)
        except TTAError as error:
            error.field = error.field.lstrip(".").replace("names", "texts")
            raise
        return list(space.features.float().cpu())

    async def _embed_images(self, request: pb.EmbedRequest, context: Context) -> list[Tensor]:
        arrived, remaining, caller = time.monotonic(), context.time_remaining(), current_caller()
        deadline, trace = None if remaining is None else arrived + remaining, trace_of(context.invocation_metadata())
        places = asyncio.Semaphore(AT_ONCE)

        def parse(image: pb.Image) -> ParsedRequest:
            message = pb.ClassifyRequest(image=image, labels=pb.Labels(label_set=PLAIN))
            message.options.strategy.name = "zero_shot"
            message.options.reduction.reducer.name = "none"
            return parse_request(message, _no_labels, self._server_info, arrived, deadline, caller, trace)

        async def embed(place: int, image: pb.Image) -> Tensor:
            async with places:
                try:
                    parsed = parse(image)
                    try:
                        report = await self._engine.classify(replace(parsed.request, on_deadline="fail"))
                    except TTAError as error:
                        raise parsed.origin.locate(error) from error
                except TTAError as error:
                    error.field = f"images[{place}]" + error.field.removeprefix("image")
                    raise
            assert report.feature is not None
            return report.feature.float()

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed(*one)) for one in enumerate(request.images)]
        except* TTAError as several:
            raise several.exceptions[0] from None
        return [task.result() for task in tasks]


def _no_labels(id: str) -> LabelSet:
    raise AssertionError(id)
