"""The client's side of grpc.health.v1."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from .errors import TTAClientError

SERVICE_LEFT = TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service left before it served")


def make_stub(channel: Any) -> Any:
    """The stub for a channel of gRPC's sync or async stack; the library has no types."""
    return HealthStub(channel)


def make_request(service: str = "") -> HealthCheckRequest:
    """A question about one service of the server; empty: the server as a whole."""
    return HealthCheckRequest(service=service)


def read_state(reply: Any) -> str:
    """The name of the state; UNKNOWN for one that only a newer protocol has."""
    names = HealthCheckResponse.ServingStatus
    return names.Name(reply.status) if reply.status in names.values() else "UNKNOWN"


def state_of_error(error: TTAClientError) -> str:
    """SERVICE_UNKNOWN for NOT_FOUND, by which `Check` answers for an unknown service. Raises any other error."""
    if error.code is not grpc.StatusCode.NOT_FOUND:
        raise error
    return "SERVICE_UNKNOWN"
