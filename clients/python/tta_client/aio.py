"""The client for asyncio; the synchronous one, word for word, with `await`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from typing import Any

import grpc

from . import health, requests
from .aio_connection import AsyncConnection
from .aio_stream import AsyncStream
from .answers import Answer, answer_from
from .choices import DEFAULTS, Choice, Options
from .errors import from_rpc
from .frames import Image
from .labels import Labels, LabelSet
from .listings import (
    Description,
    LabelSetInfo,
    ServerInfo,
    SessionInfo,
    Snapshot,
    description_from,
    label_set_info_from,
    server_info_from,
    session_info_from,
    snapshot_from,
    snapshot_message,
)
from .requests import Policy
from .v1 import tta_pb2


class AsyncClient:
    """One channel to one service, for one event loop. All calls raise `TTAClientError`.

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
        self._to = AsyncConnection(target, timeout, credentials, tuple(metadata))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._to.channel.close()

    # ---- pictures

    async def classify(
        self,
        image: Image,
        labels: Labels,
        strategy: str | Choice = "",
        *,
        options: Options = DEFAULTS,
        session: str = "",
        request_id: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the call
    ) -> Answer:
        """One picture, one answer. A `session` lets remembering strategies learn from call to call."""
        options = options.choosing(strategy)

        async def ask(label_set_id: str) -> Any:
            message = requests.classify(image, label_set_id, options, session, request_id)
            return await self._to.ask(self._to.stub.Classify, message, timeout)

        return answer_from(await self._to.with_labels(labels, ask, session))

    def stream(
        self,
        frames: Iterable[Any] | AsyncIterable[Any],
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
    ) -> AsyncStream:
        """Answers to `frames` (pictures or `Frame`s), in order.

        "block" answers every frame and has at most `in_flight` of them under way; "latest" sends what the camera
        gives and lets the service keep only the newest; "drop_oldest" and "drop_newest" let `buffer` of them wait.
        `frame_budget`: seconds for each frame from its arrival. `resume_token`: of a stream whose service was leaving.
        """
        options, identify = options.choosing(strategy), partial(self._to.identify, session=session)

        async def opening(again: bool) -> tta_pb2.ClassifyStreamRequest:
            if again:
                self._to.registered.forget(labels)
            id = await identify(labels)
            return requests.opening(id, options, session, policy, buffer, frame_budget, resume_token)

        def call(messages: Any) -> Any:
            return self._to.stub.ClassifyStream(messages, metadata=self._to.headers(session))

        return AsyncStream(call, opening, identify, frames, in_flight if policy == "block" else None)

    # ---- label sets

    async def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str] = ()) -> LabelSetInfo:
        """Register a label set; its id may be given as `labels` everywhere."""
        labels = names if isinstance(names, LabelSet) else LabelSet(tuple(names), tuple(templates))
        return label_set_info_from(await self._to.register(labels))

    async def get_labels(self, label_set_id: str) -> LabelSet:
        reply = await self._to.ask(self._to.stub.GetLabelSet, tta_pb2.GetLabelSetRequest(id=label_set_id))
        return LabelSet(tuple(reply.label_set.names), tuple(reply.label_set.templates))

    async def list_labels(self) -> list[LabelSetInfo]:
        return [
            label_set_info_from(m)
            for m in await self._to.pages(self._to.stub.ListLabelSets, tta_pb2.ListLabelSetsRequest, "infos")
        ]

    async def delete_labels(self, label_set_id: str) -> None:
        await self._to.ask(self._to.stub.DeleteLabelSet, tta_pb2.DeleteLabelSetRequest(id=label_set_id))
        self._to.registered.forget(label_set_id)

    # ---- sessions

    async def session(self, session_id: str) -> SessionInfo:
        return session_info_from(
            (await self._to.ask(self._to.stub.GetSession, tta_pb2.GetSessionRequest(session_id=session_id))).session
        )

    async def sessions(self) -> list[SessionInfo]:
        return [
            session_info_from(m)
            for m in await self._to.pages(self._to.stub.ListSessions, tta_pb2.ListSessionsRequest, "sessions")
        ]

    async def reset_session(self, session_id: str) -> SessionInfo:
        """Forget what the session's strategies have learnt; the session stays."""
        reply = await self._to.ask(self._to.stub.ResetSession, tta_pb2.ResetSessionRequest(session_id=session_id))
        return session_info_from(reply.session)

    async def close_session(self, session_id: str) -> None:
        await self._to.ask(self._to.stub.CloseSession, tta_pb2.CloseSessionRequest(session_id=session_id))

    async def snapshot(self, session_id: str) -> Snapshot:
        """All that the session's strategies have learnt; `restore` brings it back, here or on another service."""
        reply = await self._to.ask(self._to.stub.SnapshotSession, tta_pb2.SnapshotSessionRequest(session_id=session_id))
        return snapshot_from(reply.snapshot)

    async def restore(self, snapshot: Snapshot | bytes) -> SessionInfo:
        """The session goes on from a snapshot, or from its `state` alone; one of the same id that rests is replaced."""
        message = tta_pb2.RestoreSessionRequest(snapshot=snapshot_message(snapshot))
        return session_info_from(
            (await self._to.ask(self._to.stub.RestoreSession, message, session=message.snapshot.session_id)).session
        )

    # ---- the service

    async def strategies(self) -> list[Description]:
        reply = await self._to.ask(self._to.stub.ListStrategies, tta_pb2.ListStrategiesRequest())
        return [description_from(m) for m in reply.strategies]

    async def reducers(self) -> list[Description]:
        reply = await self._to.ask(self._to.stub.ListReducers, tta_pb2.ListReducersRequest())
        return [description_from(m) for m in reply.reducers]

    async def info(self) -> ServerInfo:
        return server_info_from(await self._to.ask(self._to.stub.GetServerInfo, tta_pb2.GetServerInfoRequest()))

    async def health(self, service: str = "") -> str:
        """One of "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"."""
        return await self._to.ask(health.check(self._to.channel), service)

    async def wait_until_serving(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109 - the deadline of the call
        """Returns once the service serves; it need not even run yet. Raises DEADLINE_EXCEEDED after `timeout` s."""
        try:
            async for state in health.watch(self._to.channel)("", timeout=timeout, wait_for_ready=True):
                if state == "SERVING":
                    return
        except grpc.RpcError as error:
            raise from_rpc(error) from None
