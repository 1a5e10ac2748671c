"""What leaves this process and comes back: one opaque, signed, pickle-free blob, with the number of its format."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import struct
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ...core.errors import BadRequest, NewerFormat
from ..sessions.session import Session

# Of all that outlives this version; what carries no number has the first one. A version that writes what this one
# cannot read writes a higher number in the same places: in the safetensors metadata and in the record of the store.
FORMAT = 1
LESSONS_FORMAT = 2  # of a session with lessons or questions or in a lesson group, which an older version would lose
LONG = 16 << 20  # characters of a header that travels as a tensor: safetensors reads no metadata above 100 MB
MAC = hashlib.sha256().digest_size
log = logging.getLogger(__name__)


class SignedCodec:
    """HMAC-SHA256 over a safetensors file. Without a secret, only this process can read its blobs."""

    def __init__(self, secret: bytes = b"") -> None:
        if not secret:
            log.info("no secret is set: snapshots can be restored by this process only")
        self._secret = secret or secrets.token_bytes(32)

    def dumps(self, header: Mapping[str, Any], tensors: Mapping[str, Tensor], format: int = FORMAT) -> bytes:
        """A blob of the header (anything JSON can express) and the tensors; with a long header in `LESSONS_FORMAT`."""
        content, said = {name: tensor.contiguous() for name, tensor in tensors.items()}, json.dumps(header)
        metadata = {"format": str(format), "said": said}
        if len(said) > LONG:
            texts = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
            content |= {"header": torch.frombuffer(bytearray(texts), dtype=torch.uint8)}
            metadata = {"format": str(max(format, LESSONS_FORMAT))}
        content = save(content, metadata)
        return self._mac(content) + content

    def loads(self, blob: bytes, field: str = "state") -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The header and the tensors. `field` is the one that the blob came in.

        Raises `BadRequest` for anything that was not signed with this secret, `NewerFormat`.
        """
        content = blob[MAC:]
        if not hmac.compare_digest(blob[:MAC], self._mac(content)):
            raise BadRequest("this snapshot was not made here, or was changed on its way", field)
        check_format(format_of(blob), field)
        metadata, tensors = _metadata(blob), load(content)
        return json.loads(metadata["said"] if "said" in metadata else tensors.pop("header").numpy().tobytes()), tensors

    def _mac(self, content: bytes) -> bytes:
        return hmac.new(self._secret, content, hashlib.sha256).digest()


class ResumeTokens:
    """The name of a stream's session, for the client that opens it again on any server with the same secret."""

    def __init__(self, codec: SignedCodec, adopt_owner: str = "") -> None:
        self._codec, self._adopt_owner = codec, adopt_owner

    def issue(self, session: Session) -> bytes:
        """A token for the session's stream."""
        content = {"resume": session.id, "owner": session.owner, "named": session.named}
        return self._codec.dumps(content, {})

    def read(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The id in a `token`, and whether the client named the session. Raises `BadRequest`, `NewerFormat`."""
        try:
            content, _ = self._codec.loads(token, "resume_token")
        except BadRequest:
            raise BadRequest("this token was not made here, or was changed on its way", "resume_token") from None
        if "resume" not in content or not may_have(owner, content["owner"], self._adopt_owner):
            raise BadRequest("this token resumes no stream of yours", "resume_token")
        return content["resume"], content["named"]


def may_have(owner: str, stored: object, adopt_owner: str) -> bool:
    """Whether what was stored for an owner is that owner's now: `adopt_owner` gets what is from before owners."""
    return stored == owner or (stored == "" and owner == adopt_owner)


def check_format(number: object, field: str = "session_id", newest: int = LESSONS_FORMAT) -> None:
    """Raises `NewerFormat` unless this version knows the format of that number; `newest` is the last one it knows."""
    if str(number) not in map(str, range(1, newest + 1)):
        raise NewerFormat(
            f"a newer version of the service wrote this session, in format {number}; this server reads format "
            f"{newest}: upgrade it first",
            field,
        )


def format_of(blob: bytes) -> object:
    """The number of a blob's format, whoever signed it; that of this version for what is no blob."""
    try:
        return _metadata(blob).get("format", FORMAT)
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return FORMAT


def has_lessons(blob: bytes) -> bool:
    """Whether it is a session's state with lessons, whoever signed it."""
    return str(format_of(blob)) == str(LESSONS_FORMAT)


def _metadata(blob: bytes) -> dict[str, str]:
    (length,) = struct.unpack_from("<Q", blob, MAC)  # safetensors: the header's length, then its JSON
    return json.loads(blob[MAC + 8 : MAC + 8 + length])["__metadata__"]
