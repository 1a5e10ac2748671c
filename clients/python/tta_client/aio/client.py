"""The client: images and labels in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from ..channel import TLS, make_authorization, make_credentials
from ..errors import TTAClientError, labels_are_gone
from ..protocol.reconnect import ALWAYS, Reconnect
from ..protocol.stream_state import StreamState
from ..statistics import Statistics
from ..types import requests
from ..types.answers import Answer, parse_answer
from ..types.frames import Image
from ..types.labels import Labels
from ..types.options import DEFAULTS, Choice, Options, check_options
from ..types.requests import Policy
from ..v1 import tta_pb2
from .connection import AsyncConnection
from .lessons import AsyncLessons
from .runtime import Frames
from .stream import AsyncStream, AsyncStreamTransport


class AsyncClient(AsyncLessons):
    """One channel to one service. All calls raise `TTAClientError`.

    The synchronous client may be shared by threads; the one for asyncio by event loops, each of which gets a channel of
    its own. `timeout` (seconds) is the limit of each unary call. Labels are registered on first use, and again when the
    service does not have them any more. `token` is an API key, `ID.SECRET`. `tls` encrypts the channel (`TLS` names
    files, True takes the authorities that gRPC knows); so do `credentials` of gRPC's own.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30.0,
        token: str = "",
        tls: TLS | bool | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        metadata = (*make_authorization(token), *metadata)
        credentials = credentials or make_credentials(target, token, tls)
        super().__init__(AsyncConnection(target, timeout, credentials, metadata))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channel; that of this event loop."""
        await self._connection.channel.close()

    # ---- pictures

    async def classify(
        self,
        image: Image,
        labels: Labels,
        strategy: str | Choice = "",
        *,
        options: Options = DEFAULTS,
        session: str = "",
        lesson_group: str = "",
        request_id: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the call
    ) -> Answer:
        """One image, one answer. With a `session`, strategies that have a memory learn from call to call.

        Sessions of one `lesson_group` share their lessons.
        """
        options = check_options(options).with_strategy(strategy)
        limits = await self._registry.get_limits(session, timeout)
        message = requests.make_classify_request(image, options, session, request_id, limits, lesson_group)

        async def ask() -> Answer:
            message.labels.id = await self._registry.identify(labels, session)
            return parse_answer(await self._call("Classify", message, timeout))

        try:
            return await ask()
        except TTAClientError as error:
            if not labels_are_gone(error) or not self._registry.labels.defines(labels):
                raise
        self._registry.labels.forget(labels)
        return await ask()

    async def embed(
        self,
        images: Sequence[Image] = (),
        *,
        texts: Sequence[str] = (),
        templates: Sequence[str] = (),
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the call
    ) -> list[list[float]]:
        """Unit features of pictures or texts, in their order: the dot product of two is their cosine.

        `templates` with `{}` for the text are averaged; without them a text is taken as it is.
        """
        limits = await self._registry.get_limits("", timeout)
        message = requests.make_embed_request(images, texts, templates, limits)
        return [list(one.values) for one in (await self._call("Embed", message, timeout)).embeddings]

    def stream(
        self,
        frames: Frames,
        labels: Labels,
        strategy: str | Choice = "",
        *,
        options: Options = DEFAULTS,
        policy: Policy = "block",
        session: str = "",
        lesson_group: str = "",
        buffer: int | None = None,
        frame_budget: float | None = None,
        resume_token: bytes = b"",
        in_flight: int = 8,
        paced: bool = True,
        reconnect: Reconnect | None = ALWAYS,
        statistics: Statistics | None = None,
    ) -> AsyncStream:
        """Answers to `frames` (images or `Frame`s), in order.

        "block" answers every frame, with at most `in_flight` unanswered ones; "latest" makes the service keep only the
        newest waiting frame; "drop_oldest" and "drop_newest" let `buffer` frames wait. All but "block" send a frame
        when the service has room, unless `paced` is False. `frame_budget` is seconds for each frame from its arrival.
        `resume_token` comes from a stream whose service was shutting down. A lost service is dialled again according
        to `reconnect` (None: the loss is an error), with the same session, so that a named session keeps its memory.
        """
        options = check_options(options, "open.options").with_strategy(strategy)
        connection, registry = self._connection, self._registry
        defines, named = registry.labels.defines, bool(session)
        state = StreamState(policy, in_flight, paced, reconnect, statistics, resume_token, defines, named)

        identify, limits = partial(registry.identify, session=session), partial(registry.get_limits, session)

        async def opening(token: bytes) -> tta_pb2.ClassifyStreamRequest:
            return requests.make_opening(
                await identify(labels), options, session, policy, buffer, frame_budget, token, lesson_group
            )

        def call(messages: Any) -> Any:
            return connection.stub.ClassifyStream(messages, metadata=connection.headers(session))

        return AsyncStream(AsyncStreamTransport(call, opening, identify, registry.forget, limits), frames, state)
