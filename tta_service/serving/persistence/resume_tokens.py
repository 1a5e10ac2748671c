"""Resume tokens: the name of a stream's session, for the client that opens the stream again."""

from __future__ import annotations

from ...core.errors import BadRequest
from ..sessions.session import Session
from .signing import SignedCodec


class ResumeTokens:
    """Valid on every server with the same secret."""

    def __init__(self, codec: SignedCodec) -> None:
        self._codec = codec

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
        if "resume" not in content or content["owner"] != owner:
            raise BadRequest("this token resumes no stream of yours", "resume_token")
        return content["resume"], content["named"]
