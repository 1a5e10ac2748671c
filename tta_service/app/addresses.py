"""Where the doors listen."""

from __future__ import annotations

import socket


def check_bindable(host: str, port: int) -> None:
    """OSError now, rather than after the model has been loaded."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:  # the latter: no host can be called so
        raise OSError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None


def format_address(host: str, port: int) -> str:
    """host:port, as grpc and a URL want it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
