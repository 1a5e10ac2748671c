"""How to talk to the service: channel settings, retries of unary calls, call metadata."""

from __future__ import annotations

import json

from .v1 import tta_pb2

SERVICE = tta_pb2.DESCRIPTOR.services_by_name["AdaptationService"]

_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],  # the latter from a proxy that lost its server
}


def options() -> list[tuple[str, int | str]]:
    """Channel arguments. Only unary calls are retried: nobody but the caller knows what a stream has already said."""
    unary = [{"service": SERVICE.full_name, "method": m.name} for m in SERVICE.methods if not m.client_streaming]
    return [
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": unary, "retryPolicy": _RETRY}]})),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


def metadata(session: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[tuple[str, str], ...]:
    """Call metadata; the session goes along as a header, for proxies that keep a session on one server."""
    return (("x-session-id", session), *more) if session else more
