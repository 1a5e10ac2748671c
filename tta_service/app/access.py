"""Who may reach this server, as its settings say: callers, encryption, and the errors of a start without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from ..settings import BadSettings, Settings
from ..telemetry.audit import AuditLog
from ..wire.certificates import Certificates
from ..wire.identity import Identity, Proxies
from ..wire.keys import KeyFile, check_private

UNASKED = (
    "others can reach {host}, and callers are not asked who they are: make keys with `tta-service keys add` and name "
    "their file in server.keys, or name an authority of client certificates in server.tls.client_ca"
)
UNENCRYPTED = (
    "others can reach {host}, and nothing is encrypted: name a certificate and its key in server.tls, "
    "or set server.tls.terminated_by_proxy behind a proxy that does TLS"
)
UNSCRAPED = "others can reach {host}: give scrapers a metrics.token, or name a server.tls.client_ca"
ANYWAY = " (server.insecure=true starts all the same)"


def check_access(settings: Settings) -> None:
    """Raises `BadSettings` for what contradicts itself, and for an address that others can reach unprotected."""
    server, tls = settings.server, settings.server.tls
    for contradiction, sentence in (
        (bool(tls.certificate) != bool(tls.key), "tls.key: a certificate and its key are named together"),
        (tls.client_ca and not tls.certificate, "tls.client_ca: client certificates need TLS here: name a certificate"),
        (
            tls.terminated_by_proxy and not server.trusted_proxies,
            "trusted_proxies: name the addresses of the proxy that ends TLS",
        ),
        (
            server.owner_header and not server.trusted_proxies,
            "trusted_proxies: name the addresses that server.owner_header is believed from",
        ),
    ):
        if contradiction:
            raise BadSettings(f"server.{sentence}")
    if not server.insecure:
        _check_exposed(settings)


def _check_exposed(settings: Settings) -> None:
    server, tls, metrics = settings.server, settings.server.tls, settings.metrics
    encrypted = bool(tls.certificate or tls.terminated_by_proxy)
    _check_host("server.host", server.host, asks_callers(settings), encrypted, UNASKED)
    if metrics.enabled:
        shown = metrics.token.get_secret_value() or tls.client_ca
        _check_host("metrics.host", metrics.host, shown, encrypted, UNSCRAPED)


def _check_host(knob: str, host: str, asks: str | bool, encrypted: bool, unasked: str) -> None:
    if not is_loopback(host) and not (asks and encrypted):
        raise BadSettings(f"{knob}: {(UNENCRYPTED if asks else unasked).format(host=host)}{ANYWAY}")


def asks_callers(settings: Settings) -> bool:
    """Whether callers are asked who they are."""
    return bool(settings.server.keys or settings.server.tls.client_ca or settings.server.owner_header)


def make_identity(settings: Settings) -> Identity:
    """The check of callers. Raises `BadSettings` for a file of keys that cannot be used."""
    server = settings.server
    with _blame_setting("server.keys"):
        keys = KeyFile(Path(server.keys)) if server.keys else None
    networks = tuple(server.trusted_proxies)
    proxies = Proxies(networks, server.tls.terminated_by_proxy, server.owner_header, server.role_header)
    return Identity(keys, bool(server.tls.client_ca), proxies)


def make_certificates(settings: Settings) -> Certificates | None:
    """The files of TLS, None without any. Raises `BadSettings` for those that cannot be used."""
    tls = settings.server.tls
    if not tls.certificate:
        return None
    with _blame_setting("server.tls.certificate"):
        return Certificates(Path(tls.certificate), Path(tls.key), Path(tls.client_ca) if tls.client_ca else None)


def make_audit_log(settings: Settings) -> AuditLog | None:
    """The audit log, None without its setting. Raises `BadSettings` for a file that cannot be used."""
    if not settings.log.audit:
        if settings.log.audit_required:
            raise BadSettings("log.audit: name the audit log that log.audit_required asks for")
        return None
    path = Path(settings.log.audit)
    with _blame_setting("log.audit"):
        audit = AuditLog(path, settings.log.audit_required)
        check_private(path, path.stat())
    return audit


def read_secrets(settings: Settings) -> tuple[bytes, list[bytes]]:
    """The secret of what is stored, empty where there is none, and the former ones."""
    keep = settings.sessions
    former = [one.get_secret_value().encode() for one in keep.former_secrets]
    return keep.secret.get_secret_value().encode(), former


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _blame_setting(knob: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise BadSettings(f"{knob}: {reason}") from None
    except ValueError as error:
        raise BadSettings(f"{knob}: {error}") from None
