"""Handlers of the service's methods while the model still loads, so that the port is open and health answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from ..core.errors import NotReady
from ..wire.v1 import tta_pb2 as pb

METHODS: Mapping[str, Any] = pb.DESCRIPTOR.services_by_name["AdaptationService"].methods_by_name
SERVICE: str = pb.DESCRIPTOR.services_by_name["AdaptationService"].full_name


class DeferredHandlers(grpc.GenericRpcHandler):
    """The methods raise `NotReady` until `add_generic_rpc_handlers`, which generated code calls as on a server."""

    def __init__(self) -> None:
        self._handlers: tuple[grpc.GenericRpcHandler, ...] = ()

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        """Let these handlers answer from now on."""
        self._handlers = handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The same handlers for servers with a faster look-up. Ignored: grpc.aio's server has none."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None for an unknown one."""
        if self._handlers:
            return next(filter(None, (one.service(handler_call_details) for one in self._handlers)), None)
        service, _, name = handler_call_details.method.lstrip("/").rpartition("/")
        if service != SERVICE or name not in METHODS:
            return None
        if METHODS[name].client_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse_stream, bytes, bytes)
        return grpc.unary_unary_rpc_method_handler(_refuse_unary, bytes, bytes)


async def _refuse_unary(request: bytes, context: object) -> bytes:
    raise NotReady("warming up")


async def _refuse_stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    raise NotReady("warming up")
    yield b""  # a generator
