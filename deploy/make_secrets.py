"""python make_secrets.py FOLDER HOST…: the secrets of compose.yaml, one folder for each container that needs some.

An authority, a certificate of the service for these hosts, API keys, the token of scrapers and Grafana's password. What
is there stays; the certificate is made anew when it has less than thirty days left, so run it before each start.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from tta_service.wire.keys import ApiKey, Role, edit_keys

DAYS, RENEW = 365, 30


def main(folder: Path, hosts: list[str]) -> None:
    """Make what is missing."""
    service, camera, prometheus, grafana = (folder / name for name in ("service", "camera", "prometheus", "grafana"))
    for one in (service, camera, prometheus, grafana):
        one.mkdir(parents=True, exist_ok=True)
    authority, key = make_authority(service)
    make_certificate(service, authority, key, hosts)
    for one in (camera, prometheus):
        shutil.copyfile(service / "ca.pem", one / "ca.pem")
    if not (service / "keys.json").exists():
        made, token = ApiKey.make("camera", Role.INFER)
        write(camera / "token", token.encode(), 0o600)
        with edit_keys(service / "keys.json") as keys:
            keys[made.id] = made
    if not (service / "tta.toml").exists():
        token = secrets.token_urlsafe(32)
        write(prometheus / "token", token.encode(), 0o644)  # of another user, in a volume that only Prometheus has
        signs = secrets.token_urlsafe(32)
        write(service / "tta.toml", f'metrics.token = "{token}"\nsessions.secret = "{signs}"\n'.encode(), 0o600)
    if not (grafana / "password").exists():
        write(grafana / "password", secrets.token_urlsafe(16).encode(), 0o644)


def make_authority(folder: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """The authority in a folder, made on first use."""
    if not (folder / "ca.pem").exists():
        key, name = generate_private_key(SECP256R1()), name_of("tta authority")
        certificate = sign(name, name, key, key, DAYS * 10, [(x509.BasicConstraints(True, None), True)])
        write_key(folder / "ca.key", key)
        write(folder / "ca.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key


def make_certificate(folder: Path, authority: x509.Certificate, by: EllipticCurvePrivateKey, hosts: list[str]) -> None:
    """The certificate of the service, unless there is one with enough time left."""
    file = folder / "server.crt"
    if file.exists():
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        if ends - datetime.now(UTC) > timedelta(days=RENEW):
            return
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    key = generate_private_key(SECP256R1())
    extensions = [(x509.BasicConstraints(False, None), True), (names, False)]
    certificate = sign(name_of(hosts[0]), authority.subject, key, by, DAYS, extensions)
    write_key(folder / "server.key", key)
    write(file, certificate.public_bytes(Encoding.PEM), 0o644)


def sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    by: EllipticCurvePrivateKey,
    days: int,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """A certificate of `key`, signed `by` the issuer's."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=days))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by, SHA256())


def name_of(common: str) -> x509.Name:
    """A name with nothing else in it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def write_key(file: Path, key: EllipticCurvePrivateKey) -> None:
    """In PEM, for its owner alone."""
    write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def write(file: Path, content: bytes, mode: int) -> None:
    """As a whole, with that mode from the start."""
    half = file.with_name(f".{file.name}")
    half.touch(mode)
    half.write_bytes(content)
    half.chmod(mode)
    half.replace(file)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
