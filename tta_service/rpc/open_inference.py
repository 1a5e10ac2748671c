"""The Open Inference Protocol on gRPC: handlers without generated stubs, and a pool for reflection.

Its messages are in a descriptor pool of their own, which stubs and reflection do not look into.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from ..core.errors import NotReady, Unsupported
from ..methods.oip_status import REFUSED, ServerStatus
from ..wire.oip.models import OPEN_INFERENCE
from ..wire.v1 import open_inference_pb2 as oip

METHODS: Any = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name


class OpenInferenceHandlers(grpc.GenericRpcHandler):
    """Calls go to `methods`, which may be exchanged; those that it does not have raise `NotReady`."""

    def __init__(self, methods: ServerStatus) -> None:
        self.methods = methods
        self._handlers = {name: self._handler(name) for name in METHODS}
        self._handlers |= {name: _refusal(sentence) for name, sentence in REFUSED.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None for an unknown one."""
        service, _, name = handler_call_details.method.removeprefix("/").rpartition("/")
        return self._handlers.get(name) if service == OPEN_INFERENCE else None

    def _handler(self, name: str) -> Any:
        method = METHODS[name]
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        codecs: tuple[Any, Any] = request.FromString, response.SerializeToString

        async def answer(message: Any, context: Any) -> Any:
            return await self._find(name)(message, context)

        async def answer_all(messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for reply in self._find(name)(messages, context):
                yield reply

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(answer_all, *codecs)
        return grpc.unary_unary_rpc_method_handler(answer, *codecs)

    def _find(self, name: str) -> Any:
        if (method := getattr(self.methods, name, None)) is None:
            raise NotReady("warming up")
        return method


def _refusal(sentence: str) -> Any:
    async def refuse(message: bytes, context: object) -> bytes:
        raise Unsupported(sentence)

    return grpc.unary_unary_rpc_method_handler(refuse, bytes, bytes)


def reflection_pool(services: Iterable[str]) -> DescriptorPool:
    """A pool with the files of these services and of this protocol's, and with all that they import."""
    pool, added = DescriptorPool(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name not in added:
            added.add(file.name)
            for needed in file.dependencies:
                add(needed)
            pool.AddSerializedFile(file.serialized_pb)

    for service in services:
        add(Default().FindFileContainingSymbol(service))
    add(oip.DESCRIPTOR)
    return pool
