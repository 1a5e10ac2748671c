"""Resume tokens: which session a stream held, for whoever is to open the stream again."""

from __future__ import annotations

from ...core.errors import BadRequest
from ..sessions.session import Session
from .signing import Seal


class Tokens:
    """Good wherever the same secret seals."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def of(self, session: Session) -> bytes:
        """For the session's stream."""
        said = {"resume": session.id, "owner": session.owner, "named": session.named}
        return self._seal.close(said, {})

    def resumed(self, owner: str, token: bytes) -> tuple[str, bool]:
        """The id inside a `token`, and whether the session has a name of its own. `BadRequest`."""
        try:
            said, _ = self._seal.open(token)
        except BadRequest:
            raise BadRequest("this token was not made here, or was changed on its way", "resume_token") from None
        if "resume" not in said or said["owner"] != owner:
            raise BadRequest("this token resumes no stream of yours", "resume_token")
        return said["resume"], said["named"]
