"""A channel, synchronous, which makes the calls, with time limits and errors."""

from __future__ import annotations

from typing import Any, TypeVar

import grpc

from .. import channel as settings
from ..errors import TTAClientError, from_rpc
from ..protocol.calls import CallSteps
from ..v1 import tta_pb2_grpc

T = TypeVar("T")


class Connection:
    """The channel of one client. `timeout`: seconds for a call without a limit of its own."""

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
        """The metadata of a call about that session."""
        return settings.make_metadata(session, self._metadata)

    def ask(self, rpc: Any, message: Any, seconds: float | None = None, session: str = "") -> Any:
        """One unary call, limited to `seconds`, with the session in its metadata. Raises `TTAClientError`."""
        headers = self.headers(session or getattr(message, "session_id", ""))
        try:
            return rpc(
                message, timeout=settings.to_timeout(self._timeout if seconds is None else seconds), metadata=headers
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    def run(self, steps: CallSteps[T]) -> T:
        """Makes the calls that `steps` yields, and returns its result. Raises `TTAClientError`."""
        try:
            call = next(steps)
            while True:
                try:
                    reply = self.ask(getattr(self.stub, call.rpc), call.message, call.seconds, call.session)
                except TTAClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as done:
            return done.value
