"""A channel for asyncio, which makes the calls, with time limits and errors."""

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
    """The channels of one client, one for each event loop. `timeout`: seconds for a call without a limit of its own."""

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
        """The channel of the running loop, made on first use."""
        return self._get_open()[0]

    @property
    def stub(self) -> Any:
        """The stub on that channel."""
        return self._get_open()[1]

    async def close(self) -> None:
        """Closes the channel of the running loop."""
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
        """The metadata of a call about that session."""
        return settings.make_metadata(session, self._metadata)

    async def ask(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """One unary call, limited to `seconds`, with the session in its metadata. Raises `TTAClientError`."""
        headers = self.headers(session or getattr(message, "session_id", ""))
        seconds = settings.to_timeout(self._timeout if seconds is None else seconds)
        try:
            return await rpc(message, timeout=seconds, metadata=headers)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    async def run(self, steps: CallSteps[T]) -> T:
        """Makes the calls that `steps` yields, and returns its result. Raises `TTAClientError`."""
        try:
            call = next(steps)
            while True:
                try:
                    reply = await self.ask(getattr(self.stub, call.rpc), call.message, call.seconds, call.session)
                except TTAClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as done:
            return done.value
