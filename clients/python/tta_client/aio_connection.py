"""Asking, with asyncio: one channel, deadlines, errors, pages, and labels that are registered when they must be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from . import channel as settings
from .errors import TTAClientError, from_rpc, labels_are_gone
from .labels import Labels, LabelSet, Registered, label_set_message
from .v1 import tta_pb2, tta_pb2_grpc

T = TypeVar("T")


class AsyncConnection:
    """A channel and what has been registered through it."""

    def __init__(
        self,
        target: str,
        timeout: float,
        credentials: grpc.ChannelCredentials | None,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        options = settings.options()
        self.channel = (
            grpc.aio.secure_channel(target, credentials, options)
            if credentials
            else grpc.aio.insecure_channel(target, options)
        )
        self.stub: Any = tta_pb2_grpc.AdaptationServiceStub(self.channel)
        self.registered = Registered()
        self._timeout, self._metadata = timeout, metadata

    def headers(self, session: str) -> tuple[tuple[str, str], ...]:
        return settings.metadata(session, self._metadata)

    async def ask(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """One unary call; a question about a session goes to the server that has it. Raises `TTAClientError`."""
        headers = self.headers(session or getattr(message, "session_id", ""))
        seconds = self._timeout if seconds is None else seconds
        try:
            return await rpc(message, timeout=seconds, metadata=headers)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    async def pages(self, rpc: Any, request: Callable[..., Any], field: str) -> list[Any]:
        """All that a paged listing has."""
        reply = await self.ask(rpc, request())
        found = list(getattr(reply, field))
        while reply.next_page_token:
            reply = await self.ask(rpc, request(page_token=reply.next_page_token))
            found += getattr(reply, field)
        return found

    async def register(self, labels: LabelSet, session: str = "") -> tta_pb2.LabelSetInfo:
        """For a `session`: at the server that has it, for the servers of a fleet do not tell each other."""
        message = tta_pb2.PutLabelSetRequest(label_set=label_set_message(labels))
        reply = await self.ask(self.stub.PutLabelSet, message, session=session)
        self.registered.remember(labels, reply.info.id)
        return reply.info

    async def identify(self, labels: Labels, session: str = "") -> str:
        """The id of a label set, which is registered now if it was not yet. Somebody else's id stays what it is."""
        definition = self.registered.definition(labels)
        if definition is None:
            return str(labels)
        return self.registered.id(definition) or (await self.register(definition, session)).id

    async def with_labels(self, labels: Labels, ask: Callable[[str], Awaitable[T]], session: str = "") -> T:
        """`ask` with the id of the labels; once more when the service has forgotten them."""
        try:
            return await ask(await self.identify(labels, session))
        except TTAClientError as error:
            if not labels_are_gone(error) or self.registered.definition(labels) is None:
                raise
        self.registered.forget(labels)
        return await ask(await self.identify(labels, session))
