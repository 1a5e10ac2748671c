"""A channel for asyncio: it carries the talks, with deadlines and errors."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import grpc

from .. import channel as settings
from ..errors import TTAClientError, from_rpc
from ..protocol.calls import CallSteps
from ..v1 import tta_pb2_grpc

T = TypeVar("T")


class AsyncConnection:
    """`timeout`: seconds for a call that brings no limit of its own. Each loop has a channel, made on first use."""

    def __init__(
        self,
        target: str,
        timeout: float,
        credentials: grpc.ChannelCredentials | None,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._target, self._credentials = target, credentials
        self._timeout, self._metadata = timeout, metadata
        self._channels: dict[asyncio.AbstractEventLoop, tuple[Any, Any]] = {}

    @property
    def channel(self) -> Any:
        return self._get_open()[0]

    @property
    def stub(self) -> Any:
        return self._get_open()[1]

    async def close(self) -> None:
        """That of this loop."""
        await self.channel.close()

    def _get_open(self) -> tuple[Any, Any]:
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            self._channels = {other: pair for other, pair in self._channels.items() if not other.is_closed()}
            options = settings.make_options(self._target)
            channel = (
                grpc.aio.secure_channel(self._target, self._credentials, options)
                if self._credentials
                else grpc.aio.insecure_channel(self._target, options)
            )
            self._channels[loop] = channel, tta_pb2_grpc.AdaptationServiceStub(channel)
        return self._channels[loop]

    def headers(self, session: str) -> tuple[tuple[str, str], ...]:
        return settings.make_metadata(session, self._metadata)

    async def ask(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """One unary call; a question about a session goes to the server that has it. Raises `TTAClientError`."""
        headers = self.headers(session or getattr(message, "session_id", ""))
        seconds = settings.to_timeout(self._timeout if seconds is None else seconds)
        try:
            return await rpc(message, timeout=seconds, metadata=headers)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    async def run(self, steps: CallSteps[T]) -> T:
        """The talk, from its first question to what comes of it."""
        try:
            ask = next(steps)
            while True:
                try:
                    reply = await self.ask(getattr(self.stub, ask.rpc), ask.message, ask.seconds, ask.session)
                except TTAClientError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(reply)
        except StopIteration as done:
            return done.value
