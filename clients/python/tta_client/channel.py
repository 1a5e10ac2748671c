"""Settings of the channel: encryption, proxies, keepalive, retries of unary calls, time limits, call metadata."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from .errors import blame_field, make_refusal
from .v1 import tta_pb2

SERVICE = tta_pb2.DESCRIPTOR.services_by_name["AdaptationService"]

_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],  # a proxy that lost its server answers CANCELLED
}


NO_LIMIT = 1e9  # seconds; a longer time counts as no limit, because gRPC's clock cannot represent it


@dataclass(frozen=True, slots=True)
class TLS:
    """An encrypted channel: PEM files, read when the client is made.

    `ca` is the authority of the service's certificate, by default those that gRPC knows. `certificate` and `key` show
    the service who calls, where it asks for a certificate.
    """

    ca: str | PathLike[str] | None = None
    certificate: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises `Refused` for a file that cannot be read, or a certificate without its key."""
        if (self.certificate is None) != (self.key is None):
            raise make_refusal("a certificate and its key are given together", "tls")
        with blame_field("tls"):
            files = [
                None if file is None else Path(file).read_bytes() for file in (self.ca, self.key, self.certificate)
            ]
        for file, content in zip((self.ca, self.key, self.certificate), files):
            if content is not None and b"-----BEGIN " not in content:
                raise make_refusal(f"{file} is no PEM file", "tls")
        return grpc.ssl_channel_credentials(*files)


def make_credentials(target: str, token: str, tls: TLS | bool | None) -> grpc.ChannelCredentials | None:
    """Credentials of the channel; None: not encrypted. Raises `Refused` for a token that others could read."""
    if tls:
        return (tls if isinstance(tls, TLS) else TLS()).credentials()
    if token and not is_loopback(target):
        raise make_refusal(f"a token would travel to {target} unencrypted: give tls as well", "token")
    return None


def make_authorization(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that says who calls. Raises `Refused` for a text that is no token."""
    if not token:
        return ()
    if not isinstance(token, str) or not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise make_refusal("a token is an API key ID.SECRET, without blanks", "token")
    return (("authorization", f"Bearer {token}"),)


def make_options(target: str) -> list[tuple[str, int | str]]:
    """Channel arguments. This machine's own addresses are reached without a proxy.

    gRPC retries unary calls only. `StreamState` decides about streams, because it knows which frames were answered.
    """
    unary = [{"service": SERVICE.full_name, "method": m.name} for m in SERVICE.methods if not m.client_streaming]
    return [
        *([("grpc.enable_http_proxy", 0)] if is_loopback(target) else []),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": unary, "retryPolicy": _RETRY}]})),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


def make_metadata(session: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[tuple[str, str], ...]:
    """Call metadata. The session is a header too, for proxies that route a session to one server. Raises `Refused`."""
    return (("x-session-id", session), *more) if (session := parse_session(session)) else more


def parse_session(session: str | None, field: str = "session_id", what: str = "a session id") -> str:
    """A session id; empty: none. Raises `Refused` for what the service refuses too, as headers accept even less."""
    if session is None or session == "":
        return ""
    if not isinstance(session, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", session):
        raise make_refusal(f"{what} is 1 to 128 of the characters A-Z a-z 0-9 . _ : -", field)
    return session


def parse_group(group: str | None, field: str = "lesson_group") -> str:
    """The name of a lesson group, in the same way."""
    return parse_session(group, field, "a lesson group's name")


def to_timeout(seconds: float | None) -> float | None:
    """A time limit as gRPC takes it; None: no limit."""
    return None if seconds is None or seconds > NO_LIMIT else float(seconds)


def is_loopback(target: str) -> bool:
    """Whether a gRPC target is this machine: localhost, 127.0.0.0/8, ::1, or the unspecified address."""
    scheme, rest = re.fullmatch(r"(?:(dns|ipv4|ipv6):(?://[^/]*/)?)?(.*)", target, re.DOTALL).groups()  # type: ignore[union-attr]
    return all(_is_own_address(address) for address in (rest.split(",") if scheme else [rest]))


def _is_own_address(address: str) -> bool:
    bare = address.count(":") > 1 and not address.startswith("[")  # an IPv6 address without a port
    try:
        host = address if bare else urlsplit(f"//{address}").hostname or ""
        ip = ipaddress.ip_address("127.0.0.1" if _is_own_name(host.rstrip(".")) else _expand(host))
    except (ValueError, OSError):
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return mapped.is_loopback or mapped.is_unspecified


def _is_own_name(host: str) -> bool:
    """RFC 6761's localhost and the names below it, and Debian's names of ::1."""
    return host in ("localhost", "ip6-localhost", "ip6-loopback") or host.endswith(".localhost")


def _expand(host: str) -> str:
    """An IPv4 address with all its parts: "127.1" is 127.0.0.1."""
    return socket.inet_ntoa(socket.inet_aton(host)) if re.fullmatch(r"\d+(\.\d+){0,2}", host) else host
