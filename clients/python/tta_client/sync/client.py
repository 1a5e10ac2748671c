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

    `timeout` (seconds) is the budget of each unary call. Labels are registered on first use and again when the
    service has forgotten them. Without `credentials` the channel is plain text.
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
        """One picture, one answer. A `session` lets remembering strategies learn from call to call."""
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
        """Answers to `frames` (pictures or `Frame`s), in order.

        "block" answers every frame and has at most `in_flight` of them under way; "latest" lets the service keep only
        the newest; "drop_oldest" and "drop_newest" let `buffer` of them wait. All but the first take a frame when the
        service has room, unless they are not `paced`. `frame_budget`: seconds for each frame from its arrival.
        `resume_token`: of a stream whose service was leaving. A service that goes away is dialled again as `reconnect`
        says (None: its loss is an error), with the session, so that a named one goes on with its memory.
        """
        options, connection = options.with_strategy(strategy), self._connection
        state = StreamState(
            policy, in_flight, paced, reconnect, statistics, resume_token, self._calls.registered.defines
        )

        def identify(some: Labels) -> str:
            return connection.run(self._calls.identify(some, session))

        def opening(token: bytes) -> tta_pb2.ClassifyStreamRequest:
            return requests.make_opening(identify(labels), options, session, policy, buffer, frame_budget, token)

        def limits() -> Limits:
            return connection.run(self._calls.limits(session))

        def call(messages: Any) -> Any:
            return connection.stub.ClassifyStream(messages, metadata=connection.headers(session))

        return Stream(StreamTransport(call, opening, identify, self._calls.forget, limits), frames, state)
