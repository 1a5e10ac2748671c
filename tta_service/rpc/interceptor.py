"""Wraps every call: checks who calls, counts its start, end and messages, and turns what it raises into a status."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from ..core.errors import BadRequest, TTAError
from ..core.events import Called, Messaged, Observe, Refused
from ..methods.uploads import UploadBudget
from ..wire.identity import OPEN_SERVICES, Caller, Identity, Peer, current_owner
from ..wire.requests import trace_of
from ..wire.status import to_tta_error
from ..wire.structs import MOST_BYTES, check_structs
from ..wire.v1 import tta_pb2 as pb
from .status import to_grpc_status

Context = grpc.aio.ServicerContext[Any, Any]
Kind = Literal["unary", "bidi_stream", "server_stream", "client_stream"]
Method = tuple[str, str, Kind]  # service, name and kind, as events say them
KINDS: dict[tuple[bool, bool], Kind] = {  # by (request streams, response streams)
    (False, False): "unary",
    (True, True): "bidi_stream",
    (False, True): "server_stream",
    (True, False): "client_stream",
}
ONE_REPLY: Any = grpc.stream_unary_rpc_method_handler
REPLIES: Any = grpc.stream_stream_rpc_method_handler
SERVICES: Mapping[str, Any] = {one.full_name: one for one in pb.DESCRIPTOR.services_by_name.values()}


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Reports each call to `observe`, and each refusal with what `facts(message)` finds: strategy, request id, session.

    Callers are asked who they are before their messages are read (`identity`); methods find them in `current_caller`.
    It decodes the messages itself: bytes that are none are an error of the caller, not of the server. The message of a
    unary call is read within the `uploads`, those of open services within `open_uploads`: gRPC would read it before
    anybody is asked, so the call is served as a stream of one message, which is the same on the wire.
    """

    def __init__(
        self,
        observe: Observe,
        facts: Callable[[Any], tuple[str, str, str]],
        identity: Identity,
        uploads: UploadBudget | None = None,
        open_uploads: UploadBudget | None = None,
    ) -> None:
        self._observe, self._facts, self._identity = observe, facts, identity
        self._uploads, self._open_uploads = uploads or UploadBudget(), open_uploads or UploadBudget()
        self.wrapped: dict[str, Any] = {}  # handlers by method; empty it when other handlers answer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, wrapped; None for an unknown method, which grpc answers with UNIMPLEMENTED."""
        method = handler_call_details.method
        if method not in self.wrapped and (handler := await continuation(handler_call_details)) is not None:
            service, _, name = method.removeprefix("/").rpartition("/")
            kind = KINDS[handler.request_streaming, handler.response_streaming]
            self.wrapped[method] = self._wrap(handler, (service, name, kind))
        return self.wrapped.get(method)

    def _wrap(self, handler: Any, method: Method) -> Any:
        if handler.unary_unary:
            return ONE_REPLY(self._unary(handler, method), None, handler.response_serializer)
        if handler.stream_stream or (handler.unary_stream and method[0] in OPEN_SERVICES):
            wrap = self._stream if handler.stream_stream else self._watch
            return REPLIES(wrap(handler, method), None, handler.response_serializer)
        return None  # nothing is served unchecked

    def _read(self, method: Method, caller: Caller, context: Context) -> AbstractAsyncContextManager[bytes]:
        """The one message of a call, within its budget. Raises `BadRequest` when the call ends without."""

        async def receive() -> bytes:
            if (raw := await context.read()) is grpc.aio.EOF:  # pyright: ignore[reportAttributeAccessIssue]
                raise BadRequest("a call has a message, and none came")
            return raw

        budget = self._open_uploads if method[0] in OPEN_SERVICES else self._uploads
        return budget.read(caller.client, receive)

    def _unary(self, handler: Any, method: Method) -> Any:
        received, sent = Messaged(*method, sent=False), Messaged(*method, sent=True)
        decode = make_decoder(handler.request_deserializer, method)

        async def answer(raws: AsyncIterator[bytes], context: Context) -> Any:
            self._start(method, context)
            message = None
            try:
                caller = self._identity.check(*method[:2], peer_of(context))
                async with self._read(method, caller, context) as raw:
                    self._observe(received)
                    message = decode(raw)
                    del raw
                    reply = await handler.unary_unary(message, context)
                self._observe(sent)
                return reply
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failure = to_tta_error(error)
            (strategy, request_id, session), trace = self._facts(message), trace_of(context.invocation_metadata())
            self._observe(Refused(failure, method[1], strategy, "", trace, request_id, session, owner=current_owner()))
            await context.abort_with_status(to_grpc_status(failure))

        return answer

    def _watch(self, handler: Any, method: Method) -> Any:
        decode = make_decoder(handler.request_deserializer, method)

        async def answer(raws: AsyncIterator[bytes], context: Context) -> Any:
            self._start(method, context)
            try:
                caller = self._identity.check(*method[:2], peer_of(context))
                async with self._read(method, caller, context) as raw:
                    message = decode(raw)
            except TTAError as error:
                await context.abort_with_status(to_grpc_status(error))
            async for reply in handler.unary_stream(message, context):
                yield reply

        return answer

    def _stream(self, handler: Any, method: Method) -> Any:
        received, sent = Messaged(*method, sent=False), Messaged(*method, sent=True)
        decode = make_decoder(handler.request_deserializer, method)

        async def answer(raws: AsyncIterator[bytes], context: Context) -> Any:
            self._start(method, context)

            async def decoded_messages(caller: Caller) -> AsyncIterator[Any]:
                async for raw in raws:
                    self._observe(received)
                    self._identity.recheck(caller)
                    yield decode(raw)

            try:
                caller = self._identity.check(*method[:2], peer_of(context))
                async for reply in handler.stream_stream(decoded_messages(caller), context):
                    yield reply
                    self._observe(sent)
                return
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                failure = to_tta_error(error)
            trace = trace_of(context.invocation_metadata())
            self._observe(Refused(failure, method[1], "", trace=trace, owner=current_owner()))
            await context.abort_with_status(to_grpc_status(failure))

        return answer

    def _start(self, method: Method, context: Any) -> None:
        """Report that a call has started, and later its end."""
        self._observe(Called(*method))
        context.add_done_callback(partial(self._end, method, time.monotonic()))

    def _end(self, method: Method, began: float, context: Any) -> None:
        """Report the code: the call's own if it set one, OK after a reply, else DEADLINE_EXCEEDED or CANCELLED."""
        code, codes = context.code(), grpc.StatusCode
        if code is None and context.done() and not context.cancelled():
            code = codes.OK
        elif code is None:
            code = codes.DEADLINE_EXCEEDED if context.time_remaining() == 0 else codes.CANCELLED
        self._observe(Called(*method, code.name, time.monotonic() - began))


def peer_of(context: Context) -> Peer:
    """What gRPC knows of the other end of a call. Headers that are no text are left out."""
    kind, _, rest = unquote(str(context.peer())).partition(":")  # ipv4:127.0.0.1:50051, ipv6:[::1]:50051, unix:…
    address = rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
    headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
    return Peer(address, headers, certificate)


def make_decoder(deserialize: Callable[[bytes], Any], method: Method) -> Callable[[bytes], Any]:
    """From bytes to a method's message. Raises `BadRequest` for bytes that are none, and parameters without end."""
    ours = SERVICES.get(method[0])
    kind = ours.methods_by_name[method[1]].input_type if ours else None

    def decode(raw: bytes) -> Any:
        if kind is not None and len(raw) > MOST_BYTES:
            check_structs(kind, raw)
        try:
            return deserialize(raw)
        except DecodeError:
            raise BadRequest("the bytes are not the message that this method takes") from None

    return decode
