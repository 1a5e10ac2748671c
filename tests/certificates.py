"""A small authority that makes certificates for tests, as files in PEM."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """An authority with files in `folder`; `ca` is its own certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._key = folder, generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._sign(self._name, self._key, 3650, authority=True))

    def server(self, file: str = "server", days: float = 90.0) -> Pair:
        """Of a server on this machine. The same `file` again replaces the former one, as a rotation does."""
        return self._issue(file, "localhost", [], days)

    def client(self, name: str, *organisations: str, days: float = 90.0) -> Pair:
        """Of a client."""
        return self._issue(f"client-{name}", name, organisations, days)

    def _issue(self, file: str, name: str, organisations: list[str] | tuple[str, ...], days: float) -> Pair:
        key = generate_private_key(SECP256R1())
        more = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organisations]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *more])
        pair = Pair(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        for path, content in (
            (pair.certificate, self._sign(subject, key, days)),
            (pair.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ):
            path.with_suffix(".new").write_bytes(content)
            path.with_suffix(".new").replace(path)
        return pair

    def _sign(self, subject: x509.Name, key, days: float, authority: bool = False) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if not authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
