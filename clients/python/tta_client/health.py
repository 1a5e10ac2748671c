"""grpc.health.v1 in the few bytes that it takes, so that the client needs no further distribution.

Request: field 1, the service's name. Response: field 1, a status below 128, hence one byte.
"""

from __future__ import annotations

from typing import Any

STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def request(service: str) -> bytes:
    name = service.encode()
    return bytes((0x0A, len(name))) + name if name else b""


def state(reply: bytes) -> str:
    return STATES[reply[1]] if len(reply) == 2 and reply[0] == 0x08 and reply[1] < len(STATES) else "UNKNOWN"


def check(channel: Any) -> Any:
    """The callable of `Check`, for a channel of the sync or the async stack."""
    return channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=request, response_deserializer=state)


def watch(channel: Any) -> Any:
    """The callable of `Watch`: a first state at once, then every change."""
    return channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=request, response_deserializer=state)
