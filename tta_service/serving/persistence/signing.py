"""What leaves this process and comes back: one encrypted, signed, pickle-free blob, with the number of its format."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ...core.errors import BadRequest, NewerFormat
from ..sessions.session import Session
from .encryption import MAC, StateKey, Subject

# Of all that outlives this version; what carries no number has the first one. A version that writes what this one
# cannot read writes a higher number in the same places: in the safetensors metadata and in the record of the store.
FORMAT = 1
LESSONS_FORMAT = 2  # of a session with lessons or questions or in a lesson group, which an older version would lose
ENCRYPTED_FORMAT = 3  # of all blobs from now on; the former ones were signed only, and are read still
LONG = 16 << 20  # characters of a header that travels as a tensor: safetensors reads no metadata above 100 MB
CHANGED = "this snapshot was not made here, or was changed on its way"
log = logging.getLogger(__name__)


class SignedCodec:
    """A header and tensors as a safetensors file, encrypted and signed. Without a secret, for this process only.

    Blobs by one of the `former` secrets are read, and new ones are by `secret`. A blob is its signature, the length of
    its head, the head (JSON in the place of safetensors' own, readable without the secret) and what is encrypted.
    """

    def __init__(self, secret: bytes = b"", former: Sequence[bytes] = ()) -> None:
        if not secret:
            log.info("no secret is set: snapshots can be restored by this process only")
        self._key = StateKey(secret or secrets.token_bytes(32))
        self._keys = self._key, *map(StateKey, former)

    def dumps(
        self,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        subject: Subject,
        lessons: bool = False,
        format: int = ENCRYPTED_FORMAT,
    ) -> bytes:
        """A blob of the header (anything JSON can express) and the tensors. `lessons`: it is kept as long as they."""
        content, said = {name: tensor.contiguous() for name, tensor in tensors.items()}, json.dumps(header)
        metadata = {"said": said}
        if len(said) > LONG:
            texts = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
            content |= {"header": torch.frombuffer(bytearray(texts), dtype=torch.uint8)}
            metadata = dict[str, str]()
        about = {"format": str(format), "key": self._key.id, "owner": self._key.tag(subject.owner)}
        about |= {"sealed": "1"} if subject.kind == "session" else {}  # its record has a signature of its own
        head = json.dumps({"__metadata__": about | ({"lessons": "1"} if lessons else {})}).encode()
        head = struct.pack("<Q", len(head)) + head
        content = head + self._key.encrypt(save(content, metadata), head + subject.encode())
        return self._key.sign(content) + content

    def loads(self, blob: bytes, *subjects: Subject, field: str = "state") -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The header and the tensors of a blob that is one of the subjects; `field` is the one that it came in.

        Raises `BadRequest` for anything that was not made with these secrets or is another subject, `NewerFormat`. What
        is from before encryption is not bound to a subject: its header has to be looked at.
        """
        key = self._signer(blob)
        if key is None:
            raise BadRequest(CHANGED, field)
        check_format(format_of(blob), field)
        content = blob[MAC:]
        if is_encrypted(blob):
            content = _decrypt(key, content, subjects, field)
        metadata, tensors = _metadata(content), load(content)
        return json.loads(metadata["said"] if "said" in metadata else tensors.pop("header").numpy().tobytes()), tensors

    def is_current(self, blob: bytes) -> bool:
        """Whether a blob need not be written anew: it is encrypted, and by the secret of now."""
        return is_encrypted(blob) and head_of(blob).get("key") == self._key.id

    def tag(self, owner: str) -> str:
        """What says in blobs that they are the owner's."""
        return self._key.tag(owner)

    def belongs_to(self, owner: str, blob: bytes) -> bool:
        """Whether it says that it is the owner's, whatever it is, even if it is damaged. False for other secrets'."""
        if is_encrypted(blob):
            return head_of(blob).get("owner") in [key.tag(owner) for key in self._keys]
        try:
            return self.loads(blob)[0].get("owner") == owner
        except (BadRequest, NewerFormat):
            return False

    def is_damaged(self, blob: bytes) -> bool:
        """Whether it is not what was written. False for what another secret, or none that says so, has signed."""
        head = head_of(blob)
        return self._signer(blob) is None and (not head or head.get("key") in [key.id for key in self._keys])

    def _signer(self, blob: bytes) -> StateKey | None:
        named = [key for key in self._keys if key.id == head_of(blob).get("key")]
        for key in named or self._keys:
            if hmac.compare_digest(blob[:MAC], key.sign(blob[MAC:])):
                return key
        return None


class ResumeTokens:
    """The name of a stream's session, for the client that opens it again on any server with the same secret."""

    def __init__(self, codec: SignedCodec, adopt_owner: str = "") -> None:
        self._codec, self._adopt_owner = codec, adopt_owner

    def issue(self, session: Session) -> bytes:
        """A token for the session's stream."""
        content = {"resume": session.id, "owner": session.owner, "named": session.named}
        return self._codec.dumps(content, {}, Subject("token", session.owner))

    def read(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The id in a `token`, and whether the client named the session. Raises `BadRequest`, `NewerFormat`."""
        subjects = (Subject("token", one) for one in owners_of(owner, self._adopt_owner))
        try:
            content, _ = self._codec.loads(token, *subjects, field="resume_token")
        except BadRequest as error:
            if error.message != CHANGED:
                raise BadRequest("this token resumes no stream of yours", "resume_token") from None
            raise BadRequest("this token was not made here, or was changed on its way", "resume_token") from None
        match content:
            case {"resume": str(id), "named": bool(named), "owner": of} if may_have(owner, of, self._adopt_owner):
                return id, named
            case _:
                raise BadRequest("this token resumes no stream of yours", "resume_token")


def may_have(owner: str, stored: object, adopt_owner: str) -> bool:
    """Whether what was stored for an owner is that owner's now: `adopt_owner` gets what is from before owners."""
    return stored in owners_of(owner, adopt_owner)


def owners_of(owner: str, adopt_owner: str) -> tuple[str, ...]:
    """The owner, and the one from before owners if it has adopted what was there."""
    return (owner, "") if owner and owner == adopt_owner else (owner,)


def check_format(number: object, field: str = "session_id", newest: int = ENCRYPTED_FORMAT) -> None:
    """Raises `NewerFormat` unless this version knows the format of that number; `newest` is the last one it knows."""
    if str(number) not in map(str, range(1, newest + 1)):
        raise NewerFormat(
            f"a newer version of the service wrote this session, in format {number}; this server reads format "
            f"{newest}: upgrade it first",
            field,
        )


def format_of(blob: bytes) -> object:
    """The number of a blob's format, whoever signed it; that of the first for what is no blob."""
    return head_of(blob).get("format", FORMAT)


def has_lessons(blob: bytes) -> bool:
    """Whether it is a session's state with lessons, whoever signed it."""
    return str(format_of(blob)) == str(LESSONS_FORMAT) or "lessons" in head_of(blob)


def is_encrypted(blob: bytes) -> bool:
    """Whether it is from after blobs were signed only."""
    return str(format_of(blob)) not in (str(FORMAT), str(LESSONS_FORMAT))


def head_of(blob: bytes) -> dict[str, Any]:
    """What can be read of a blob without its secret; nothing of what is no blob."""
    try:
        return dict(_metadata(blob, MAC))
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _decrypt(key: StateKey, content: bytes, subjects: Sequence[Subject], field: str) -> bytes:
    """Raises `BadRequest` unless it is one of the subjects."""
    (length,) = struct.unpack_from("<Q", content)
    head, encrypted = content[: 8 + length], content[8 + length :]
    for subject in subjects:
        if (decrypted := key.decrypt(encrypted, head + subject.encode())) is not None:
            return decrypted
    owner = _metadata(content).get("owner")
    theirs = owner in [key.tag(subject.owner) for subject in subjects]
    raise BadRequest("this snapshot is " + ("of another session" if theirs else "another owner's"), field)


def _metadata(file: bytes, start: int = 0) -> dict[str, Any]:
    (length,) = struct.unpack_from("<Q", file, start)  # safetensors: the header's length, then its JSON
    return json.loads(file[start + 8 : start + 8 + length])["__metadata__"]
