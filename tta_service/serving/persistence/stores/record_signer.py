"""What a record says beside its state, signed, so that nobody without the secret moves a session or changes records."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace

from ..encryption import MAC, StateKey
from ..signing import head_of
from .records import Stored


class RecordSigner:
    """Signs the name, epoch, holder and number of writes of records, and which state they are of.

    Without a secret, for this process only. Signatures by one of the `former` secrets are believed too.
    """

    def __init__(self, secret: bytes = b"", former: Sequence[bytes] = ()) -> None:
        self._key = StateKey(secret or secrets.token_bytes(32))
        self._keys = {key.id: key for key in (*map(StateKey, former), self._key)}

    def sign(self, name: str, stored: Stored) -> Stored:
        """The record with its signature."""
        return replace(stored, signature=f"{self._key.id}:{self._key.sign_record(_content(name, stored))}")

    def knows(self, stored: Stored) -> bool:
        """Whether it has a signature by one of these secrets, right or wrong."""
        return stored.signature.partition(":")[0] in self._keys

    def verify(self, name: str, stored: Stored) -> bool:
        """Whether the record is as it was written under that name.

        What is from before records were signed is believed, and what is by another secret: its state cannot be used.
        """
        id, _, signature = stored.signature.partition(":")
        if key := self._keys.get(id):
            return hmac.compare_digest(signature, key.sign_record(_content(name, stored)))
        head = head_of(stored.state)
        return head.get("key") not in self._keys or (not stored.signature and "sealed" not in head)


def _content(name: str, stored: Stored) -> bytes:
    """A state begins with its signature, which stands for all of it."""
    return json.dumps([name, stored.epoch, stored.holder, stored.writes]).encode() + stored.state[:MAC]
