"""The addresses on which the servers listen."""

from __future__ import annotations

import socket


def check_bindable(host: str, port: int) -> None:
    """Raise OSError for an address that cannot be bound now, instead of after the model has been loaded."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no valid host name
        raise OSError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None


def format_address(host: str, port: int) -> str:
    """host:port, as grpc and a URL need it, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
