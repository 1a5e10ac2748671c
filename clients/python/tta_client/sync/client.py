"""The synchronous client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from ..protocol.reconnect import ALWAYS, Reconnect
from ..protocol.stream_state import StreamState
from ..statistics import Statistics
from ..types import requests
from ..types.answers import Answer
from ..types.frames import Image
from ..types.labels import Labels
from ..types.limits import Limits
from ..types.options import DEFAULTS, Choice, Options
from ..types.requests import Policy
from ..v1 import tta_pb2
from .admin import Admin
from .connection import Connection
from .stream import Stream, StreamTransport


class Client(Admin):
    """One channel to one service. Thread-safe. All calls raise `TTAClientError`.

    `timeout` (seconds) is the limit of each unary call. Labels are registered on first use, and again when the
    service does not have them any more. Without `credentials` the channel is not encrypted.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 30.0,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(Connection(target, timeout, credentials, tuple(metadata)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._connection.channel.close()

    # ---- pictures

    def classify(
        self,
        image: Image,
        labels: Labels,
        strategy: str | Choice = "",
        *,
        options: Options = DEFAULTS,
        session: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> Answer:
        """One image, one answer. With a `session`, strategies that have a memory learn from call to call."""
        options = options.with_strategy(strategy)
        return self._connection.run(self._calls.classify(image, labels, options, session, request_id, timeout))

    def stream(
        self,
        frames: Iterable[Any],
        labels: Labels,
        strategy: str | Choice = "",
        *,
        options: Options = DEFAULTS,
        policy: Policy = "block",
        session: str = "",
        buffer: int | None = None,
        frame_budget: float | None = None,
        resume_token: bytes = b"",
        in_flight: int = 8,
        paced: bool = True,
        reconnect: Reconnect | None = ALWAYS,
        statistics: Statistics | None = None,
    ) -> Stream:
        """Answers to `frames` (images or `Frame`s), in order.

        "block" answers every frame, with at most `in_flight` unanswered ones; "latest" makes the service keep only the
        newest waiting frame; "drop_oldest" and "drop_newest" let `buffer` frames wait. All but "block" send a frame
        when the service has room, unless `paced` is False. `frame_budget` is seconds for each frame from its arrival.
        `resume_token` comes from a stream whose service was shutting down. A lost service is dialled again according
        to `reconnect` (None: the loss is an error), with the same session, so that a named session keeps its memory.
        """
        options, connection = options.with_strategy(strategy), self._connection
        state = StreamState(
            policy, in_flight, paced, reconnect, statistics, resume_token, self._calls.registered.defines
        )

        def identify(frame_labels: Labels) -> str:
            return connection.run(self._calls.identify(frame_labels, session))

        def opening(token: bytes) -> tta_pb2.ClassifyStreamRequest:
            return requests.make_opening(identify(labels), options, session, policy, buffer, frame_budget, token)

        def limits() -> Limits:
            return connection.run(self._calls.limits(session))

        def call(messages: Any) -> Any:
            return connection.stub.ClassifyStream(messages, metadata=connection.headers(session))

        return Stream(StreamTransport(call, opening, identify, self._calls.forget, limits), frames, state)
