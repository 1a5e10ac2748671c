"""TLS of the gRPC server."""

from __future__ import annotations

from typing import Any

import grpc

from ..wire.certificates import Certificates, CertificateSet


def make_credentials(certificates: Certificates, ask_client: bool) -> grpc.ServerCredentials:
    """Credentials that follow the files, from one connection to the next.

    `ask_client`: clients must show a certificate of the authority; gRPC knows no servers where they may.
    """
    sent = certificates.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called for each connection, in a thread of gRPC's. None: nothing has changed."""
        nonlocal sent
        if (now := certificates.current()) is sent:
            return None
        sent = now
        return _configure(now, ask_client)

    follow: Any = fetch  # the stubs know no None
    return grpc.dynamic_ssl_server_credentials(_configure(sent, ask_client), follow, ask_client)


def _configure(now: CertificateSet, ask_client: bool) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(now.key, now.chain)], now.client_ca if ask_client else None)
