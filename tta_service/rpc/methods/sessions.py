"""The methods about sessions."""

from __future__ import annotations

from ...core.errors import BadRequest, TooLarge
from ...serving.persistence.service import SessionPersistence
from ...serving.sessions.sessions import Sessions
from ...wire.catalogue import make_session_info, paginate
from ...wire.field_paths import field_prefix
from ...wire.identity import OWNER
from ...wire.requests import parse_session_id
from ...wire.server_info import ServerInfo
from ...wire.v1 import tta_pb2 as pb
from ..interceptor import Context
from ..v1 import tta_pb2_grpc as wire


class SessionMethods(wire.AdaptationServiceServicer):
    """The owner's own. One that rests in the store comes back before anything is done to it."""

    def __init__(self, sessions: Sessions, persistence: SessionPersistence, server_info: ServerInfo) -> None:
        self._sessions, self._persistence, self._server_info = sessions, persistence, server_info

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(
            session=make_session_info(self._sessions.get(OWNER, required_session_id(request.session_id)))
        )

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        mine, token = paginate(self._sessions.list(OWNER), lambda one: one.id, request.page_size, request.page_token)
        return pb.ListSessionsResponse(sessions=map(make_session_info, mine), next_page_token=token)

    async def ResetSession(self, request: pb.ResetSessionRequest, context: Context) -> pb.ResetSessionResponse:
        await self._persistence.load(OWNER, required_session_id(request.session_id))
        fresh = await self._sessions.reset(OWNER, required_session_id(request.session_id))
        return pb.ResetSessionResponse(session=make_session_info(fresh))

    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionResponse:
        await self._persistence.load(OWNER, required_session_id(request.session_id))
        self._sessions.close(OWNER, required_session_id(request.session_id))
        return pb.CloseSessionResponse()

    async def SnapshotSession(self, request: pb.SnapshotSessionRequest, context: Context) -> pb.SnapshotSessionResponse:
        snapshot, most = (
            await self._persistence.snapshot(OWNER, required_session_id(request.session_id)),
            self._server_info.limits.message_bytes,
        )
        message = pb.SessionSnapshot(session_id=snapshot.session, epoch=snapshot.epoch, state=snapshot.state)
        reply = pb.SnapshotSessionResponse(snapshot=message)
        if reply.ByteSize() > most:  # so would the request be that restores it
            raise TooLarge(f"this snapshot takes {reply.ByteSize()} bytes, a message at most {most}", "session_id")
        return reply

    async def RestoreSession(self, request: pb.RestoreSessionRequest, context: Context) -> pb.RestoreSessionResponse:
        with field_prefix("snapshot"):
            restored = await self._persistence.restore(OWNER, request.snapshot.state)
        return pb.RestoreSessionResponse(session=make_session_info(restored))


def required_session_id(id: str) -> str:
    """A session that must have a name."""
    if not id:
        raise BadRequest("which session?", "session_id")
    return parse_session_id(id, "session_id")
