"""The way to the service's methods: open before the service is there, so that health can be asked at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from ..core.errors import NotReady
from ..wire.v1 import tta_pb2 as pb

METHODS: Mapping[str, Any] = pb.DESCRIPTOR.services_by_name["AdaptationService"].methods_by_name
SERVICE: str = pb.DESCRIPTOR.services_by_name["AdaptationService"].full_name


class DeferredHandlers(grpc.GenericRpcHandler):
    """Until `add_generic_rpc_handlers` (which generated code calls on a server), every method answers that it is not
    ready."""

    def __init__(self) -> None:
        self._handlers: tuple[grpc.GenericRpcHandler, ...] = ()

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        """From now on these answer."""
        self._handlers = handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The same once more, for servers that look methods up faster; grpc.aio's does not."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if self._handlers:
            return next(filter(None, (one.service(handler_call_details) for one in self._handlers)), None)
        service, _, name = handler_call_details.method.lstrip("/").rpartition("/")
        if service != SERVICE or name not in METHODS:
            return None
        if METHODS[name].client_streaming:
            return grpc.stream_stream_rpc_method_handler(_not_yet_a_stream, bytes, bytes)
        return grpc.unary_unary_rpc_method_handler(_not_yet, bytes, bytes)


async def _not_yet(request: bytes, context: object) -> bytes:
    raise NotReady("warming up")


async def _not_yet_a_stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    raise NotReady("warming up")
    yield b""  # a generator
