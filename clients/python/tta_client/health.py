"""grpc.health.v1, as the client asks it."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from .errors import TTAClientError

SERVICE_LEFT = TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service left before it served")


def make_stub(channel: Any) -> Any:
    """Of a channel of the sync or the async stack; the library says nothing of its types."""
    return HealthStub(channel)


def make_request(service: str = "") -> HealthCheckRequest:
    return HealthCheckRequest(service=service)


def read_state(reply: Any) -> str:
    """A state that a newer protocol has is UNKNOWN."""
    names = HealthCheckResponse.ServingStatus
    return names.Name(reply.status) if reply.status in names.values() else "UNKNOWN"


def state_of_error(error: TTAClientError) -> str:
    """The state of a service that `Check` does not know, for which it has only a status. Raises any other error."""
    if error.code is not grpc.StatusCode.NOT_FOUND:
        raise error
    return "SERVICE_UNKNOWN"
