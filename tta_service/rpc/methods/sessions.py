"""The methods about sessions."""

from __future__ import annotations

from ...core.errors import BadRequest, TooLarge
from ...serving.persistence.service import SessionPersistence
from ...serving.sessions.sessions import Sessions
from ...wire.catalogue import page, session_info
from ...wire.field_paths import at
from ...wire.identity import OWNER
from ...wire.requests import session_of
from ...wire.server_info import Terms
from ...wire.v1 import tta_pb2 as pb
from ..interceptor import Context
from ..v1 import tta_pb2_grpc as wire


class SessionCalls(wire.AdaptationServiceServicer):
    """The owner's own. One that rests in the store comes back before anything is done to it."""

    def __init__(self, sessions: Sessions, archive: SessionPersistence, terms: Terms) -> None:
        self._sessions, self._archive, self._terms = sessions, archive, terms

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=session_info(self._sessions.get(OWNER, named(request.session_id))))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        mine, token = page(self._sessions.list(OWNER), lambda one: one.id, request.page_size, request.page_token)
        return pb.ListSessionsResponse(sessions=map(session_info, mine), next_page_token=token)

    async def ResetSession(self, request: pb.ResetSessionRequest, context: Context) -> pb.ResetSessionResponse:
        await self._archive.load(OWNER, named(request.session_id))
        fresh = await self._sessions.reset(OWNER, named(request.session_id))
        return pb.ResetSessionResponse(session=session_info(fresh))

    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionResponse:
        await self._archive.load(OWNER, named(request.session_id))
        self._sessions.close(OWNER, named(request.session_id))
        return pb.CloseSessionResponse()

    async def SnapshotSession(self, request: pb.SnapshotSessionRequest, context: Context) -> pb.SnapshotSessionResponse:
        kept, most = await self._archive.snapshot(OWNER, named(request.session_id)), self._terms.limits.message_bytes
        told = pb.SessionSnapshot(session_id=kept.session, epoch=kept.epoch, state=kept.state)
        reply = pb.SnapshotSessionResponse(snapshot=told)
        if reply.ByteSize() > most:  # so would the request be that restores it
            raise TooLarge(f"this snapshot takes {reply.ByteSize()} bytes, a message at most {most}", "session_id")
        return reply

    async def RestoreSession(self, request: pb.RestoreSessionRequest, context: Context) -> pb.RestoreSessionResponse:
        with at("snapshot"):
            restored = await self._archive.restore(OWNER, request.snapshot.state)
        return pb.RestoreSessionResponse(session=session_info(restored))


def named(id: str) -> str:
    """A session that must have a name."""
    if not id:
        raise BadRequest("which session?", "session_id")
    return session_of(id, "session_id")
