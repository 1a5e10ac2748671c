"""A channel, synchronous: it carries the talks, with deadlines and errors."""

from __future__ import annotations

from typing import Any, TypeVar

import grpc

from .. import channel as settings
from ..errors import TTAClientError, from_rpc
from ..protocol.calls import CallSteps
from ..v1 import tta_pb2_grpc

T = TypeVar("T")


class Connection:
    """`timeout`: seconds for a call that brings no limit of its own."""

    def __init__(
        self,
        target: str,
        timeout: float,
        credentials: grpc.ChannelCredentials | None,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        options = settings.make_options(target)
        self.channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self.stub = tta_pb2_grpc.AdaptationServiceStub(self.channel)
        self._timeout, self._metadata = timeout, metadata

    def headers(self, session: str) -> tuple[tuple[str, str], ...]:
        return settings.make_metadata(session, self._metadata)

    def ask(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """One unary call; a question about a session goes to the server that has it. Raises `TTAClientError`."""
        headers = self.headers(session or getattr(message, "session_id", ""))
        try:
            return rpc(
                message, timeout=settings.to_timeout(self._timeout if seconds is None else seconds), metadata=headers
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    def run(self, steps: CallSteps[T]) -> T:
        """The talk, from its first question to what comes of it."""
        try:
            ask = next(steps)
            while True:
                try:
                    reply = self.ask(getattr(self.stub, ask.rpc), ask.message, ask.seconds, ask.session)
                except TTAClientError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(reply)
        except StopIteration as done:
            return done.value
