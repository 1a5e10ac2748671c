"""Wraps every call: counts its start, end and messages, and turns what it raises into a status."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import grpc
from google.protobuf.message import DecodeError

from ..core.errors import BadRequest
from ..core.events import Called, Messaged, Observe, Refused
from ..wire.requests import trace_of
from ..wire.status import to_tta_error
from .status import to_grpc_status

Context = grpc.aio.ServicerContext[Any, Any]
Kind = Literal["unary", "bidi_stream", "server_stream", "client_stream"]
KINDS: dict[tuple[bool, bool], Kind] = {  # by (request streams, response streams)
    (False, False): "unary",
    (True, True): "bidi_stream",
    (False, True): "server_stream",
    (True, False): "client_stream",
}
WRONG_MESSAGE = "the bytes are not the message that this method takes"


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Reports each call to `observe`, and each refusal with the strategy that `strategy(message)` finds in its message.

    It decodes the messages itself, so that bytes which are no message become an error of the caller, not of the server.
    """

    def __init__(self, observe: Observe, strategy: Callable[[Any], str]) -> None:
        self._observe, self._strategy = observe, strategy

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped; None for an unknown method, which grpc answers with UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        service, _, method = handler_call_details.method.lstrip("/").rpartition("/")
        call = Call(service, method, KINDS[handler.request_streaming, handler.response_streaming], self._observe)
        if handler.unary_unary:
            return handler._replace(unary_unary=self._unary(handler, call), request_deserializer=None)
        if handler.stream_stream:
            return handler._replace(stream_stream=self._stream(handler, call), request_deserializer=None)
        return handler

    def _unary(self, handler: Any, call: Call) -> Any:
        async def answer(raw: bytes, context: Context) -> Any:
            call.start(context)
            message = None
            call.count_message(sent=False)
            try:
                message = decode(handler.request_deserializer, raw)
                reply = await handler.unary_unary(message, context)
                call.count_message(sent=True)
                return reply
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failure = to_tta_error(error)
            request_id, session = getattr(message, "request_id", ""), getattr(message, "session_id", "")
            strategy, trace = self._strategy(message), trace_of(context.invocation_metadata())
            self._observe(Refused(failure, call.method, strategy, "", trace, request_id, session))
            await context.abort_with_status(to_grpc_status(failure))

        return answer

    def _stream(self, handler: Any, call: Call) -> Any:
        async def answer(raws: AsyncIterator[bytes], context: Context) -> Any:
            call.start(context)

            async def decoded_messages() -> AsyncIterator[Any]:
                async for raw in raws:
                    call.count_message(sent=False)
                    yield decode(handler.request_deserializer, raw)

            try:
                async for reply in handler.stream_stream(decoded_messages(), context):
                    yield reply
                    call.count_message(sent=True)
                return
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failure = to_tta_error(error)
            self._observe(Refused(failure, call.method, "", trace=trace_of(context.invocation_metadata())))
            await context.abort_with_status(to_grpc_status(failure))

        return answer


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method, and the observer of its events."""

    service: str
    method: str
    kind: Kind
    observe: Observe

    def start(self, context: Context) -> None:
        """Report that the call has started, and later its end with its code and seconds."""
        began = time.monotonic()
        self.observe(Called(self.service, self.method, self.kind))

        def end(context: Any) -> None:
            seconds = time.monotonic() - began
            self.observe(Called(self.service, self.method, self.kind, final_code(context).name, seconds))

        on_done(context, end)

    def count_message(self, sent: bool) -> None:
        """Report one message, `sent` or received."""
        self.observe(Messaged(self.service, self.method, self.kind, sent))


def on_done(context: Any, call: Callable[[Any], None]) -> None:
    """Run `call(context)` when the RPC is over: answered, refused or cancelled."""
    context.add_done_callback(call)


def final_code(context: Any) -> grpc.StatusCode:
    """The code of a finished call: its own if it set one, OK after a reply, else DEADLINE_EXCEEDED or CANCELLED."""
    if context.code() is not None:
        return context.code()
    if context.done() and not context.cancelled():
        return grpc.StatusCode.OK
    return grpc.StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else grpc.StatusCode.CANCELLED


def decode(deserialize: Callable[[bytes], Any], raw: bytes) -> Any:
    """The message in `raw`. Raises `BadRequest` for bytes that are not one."""
    try:
        return deserialize(raw)
    except DecodeError:
        raise BadRequest(WRONG_MESSAGE) from None
