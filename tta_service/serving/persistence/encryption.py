"""What a secret is used for: signatures, AES-256-GCM, and the names of owners that only its holder can tell."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

MAC = hashlib.sha256().digest_size
SALT, NONCE = 16, 12  # bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """What a blob is and whose: bound to its encryption, so that it cannot take the place of another one."""

    kind: str  # "session" in a store, "snapshot" of a client, "lesson" of a group, or "token"
    owner: str
    name: str = ""  # by which the reader looks it up

    def encode(self) -> bytes:
        """As associated data."""
        return json.dumps([self.kind, self.owner, self.name]).encode()


def stored_session(owner: str, id: str) -> Subject:
    """What the state store has of a session."""
    return Subject("session", owner, id)


class StateKey:
    """The keys that come from one secret, each by HKDF-SHA256 (RFC 5869).

    Signatures are by the secret itself, as they were before anything was encrypted: so a server of that time can check
    what is newer than itself, and says so.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.id = self._derive("key id", 8).hex()
        self._encryption, self._owner = self._derive("encryption"), self._derive("owner")
        self._records = self._derive("records")

    def sign(self, content: bytes) -> bytes:
        """HMAC-SHA256."""
        return hmac.digest(self._secret, content, "sha256")

    def sign_record(self, content: bytes) -> str:
        """HMAC-SHA256 by a key of its own: no signature of a state is one of a record."""
        return hmac.digest(self._records, content, "sha256").hex()

    def tag(self, owner: str) -> str:
        """The same text for the same owner, which tells nobody else who that is."""
        return hmac.digest(self._owner, owner.encode(errors="surrogatepass"), "sha256")[:16].hex()

    def encrypt(self, content: bytes, associated: bytes) -> bytes:
        """By a key of its own for each call: with one for all, random nonces would repeat after 2^32 of them."""
        salt, nonce = os.urandom(SALT), os.urandom(NONCE)
        return salt + nonce + self._cipher(salt).encrypt(nonce, content, associated)

    def decrypt(self, encrypted: bytes, associated: bytes) -> bytes | None:
        """None for what was encrypted otherwise, or with other `associated` data."""
        salt, nonce = encrypted[:SALT], encrypted[SALT : SALT + NONCE]
        try:
            return self._cipher(salt).decrypt(nonce, memoryview(encrypted)[SALT + NONCE :], associated)
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(SHA256(), 32, b"tta_service blob" + salt).derive(self._encryption))

    def _derive(self, purpose: str, length: int = 32) -> bytes:
        return HKDF(SHA256(), length, None, f"tta_service {purpose}".encode()).derive(self._secret)
