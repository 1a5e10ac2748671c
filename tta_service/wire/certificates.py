"""The server's certificate, its key, and the authority of client certificates, read again when a file changes."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

RECHECK = 1.0  # seconds between two looks at the files
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateSet:
    """What the files hold, as PEM."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires: float  # Unix time at which the first certificate of the chain ends


class Certificates:
    """The files of one server. A change counts for the next connection, within `recheck` seconds.

    Changed files that do not fit together are an error in the log, and the former ones stay: a rotation may write the
    certificate before its key. Any thread may call it.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None, recheck: float = RECHECK) -> None:
        """Raises OSError for a file that cannot be read, ValueError for one that does not fit, with a sentence."""
        self._files = (certificate, key, client_ca)
        self._recheck, self._lock = recheck, threading.Lock()
        self._version, self._checked = self._stat(), time.monotonic()
        self._current = read_certificates(*self._files)
        self._contexts: dict[bool, tuple[CertificateSet, ssl.SSLContext]] = {}

    def current(self) -> CertificateSet:
        """What the files hold now; the same object while they do not change."""
        with self._lock:
            if time.monotonic() - self._checked >= self._recheck:
                self._reload()
            return self._current

    def context(self, ask_client: bool = False) -> ssl.SSLContext:
        """For servers over HTTP. `ask_client`: a client may show a certificate, which is then verified."""
        now = self.current()
        known = self._contexts.get(ask_client)
        if known is None or known[0] is not now:
            self._contexts[ask_client] = known = now, self._make_context(now, ask_client)
        return known[1]

    def _make_context(self, now: CertificateSet, ask_client: bool) -> ssl.SSLContext:
        certificate, key, _ = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        if ask_client and now.client_ca:
            context.load_verify_locations(cadata=now.client_ca.decode())
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _reload(self) -> None:
        self._checked = time.monotonic()
        try:
            if (version := self._stat()) == self._version:
                return
            self._current, self._version = read_certificates(*self._files), version
            log.info("%s was read again", self._files[0])
        except (OSError, ValueError) as error:
            log.error("the certificates stay as they were: %s", error)

    def _stat(self) -> Sequence[tuple[int, ...]]:
        statuses = [file.stat() for file in self._files if file]
        return [(one.st_mtime_ns, one.st_ino, one.st_size) for one in statuses]


def read_certificates(certificate: Path, key: Path, client_ca: Path | None) -> CertificateSet:
    """The content of the files. Raises OSError, and ValueError with a sentence."""
    chain, secret = certificate.read_bytes(), key.read_bytes()
    authority = client_ca.read_bytes() if client_ca else None
    first, *_ = _parse_chain(certificate, chain)
    if client_ca and authority:
        _parse_chain(client_ca, authority)
    try:
        public = load_pem_private_key(secret, None).public_key()
    except (ValueError, TypeError):  # a TypeError: it has a password
        raise ValueError(f"{key} holds no private key in PEM, or one with a password") from None
    if public != first.public_key():
        raise ValueError(f"{key} is not the key of {certificate}")
    return CertificateSet(chain, secret, authority, first.not_valid_after_utc.timestamp())


def _parse_chain(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{file} holds no certificate in PEM") from None
