"""The methods that get, list, reset, close, snapshot and restore sessions."""

from __future__ import annotations

from typing import Any

from ..core.errors import BadRequest, TooLarge
from ..serving.persistence.service import SessionPersistence
from ..serving.sessions.lesson_groups import GROUP
from ..serving.sessions.session import check_session_id
from ..serving.sessions.session_info import SessionInfo
from ..serving.sessions.sessions import Sessions
from ..wire.catalogue import make_session_info, paginate
from ..wire.field_paths import field_prefix
from ..wire.identity import current_caller
from ..wire.keys import Role
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .audit import Audit
from .context import Context
from .permits import NeedsPermits, with_permit


def _key(session: SessionInfo) -> str:
    return session.id


def _key_of_all(session: SessionInfo) -> str:
    return f"{session.owner} {session.id}"


class SessionMethods(NeedsPermits):
    """The sessions of the caller. One that is only in the store is loaded before it is reset or closed."""

    def __init__(
        self, sessions: Sessions, persistence: SessionPersistence, server_info: ServerInfo, audit: Audit
    ) -> None:
        self._sessions, self._persistence = sessions, persistence
        self._server_info, self._audit = server_info, audit

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        """Describe one session. Raises `UnknownSession`."""
        info = self._sessions.get(current_caller().owner, required_session_id(request.session_id))
        return pb.GetSessionResponse(session=make_session_info(info))

    @with_permit
    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """One page of the caller's sessions in memory, by id; an admin may ask for those of all owners."""
        caller = current_caller()
        if request.all_owners:
            caller.require(Role.ADMIN, "ListSessions of all owners")
        owned = self._sessions.list(None if request.all_owners else caller.owner)
        page, token = paginate(
            owned, _key_of_all if request.all_owners else _key, request.page_size, request.page_token
        )
        return pb.ListSessionsResponse(sessions=map(make_session_info, page), next_page_token=token)

    @with_permit
    async def ResetSession(self, request: pb.ResetSessionRequest, context: Context) -> pb.ResetSessionResponse:
        """Empty the memories of a session."""
        owner, session_id = current_caller().owner, required_session_id(request.session_id)
        async with self._audit.change("reset", session=session_id):
            await self._persistence.load(owner, session_id, opening=True)
            fresh = await self._sessions.reset(owner, session_id)
        return pb.ResetSessionResponse(session=make_session_info(fresh))

    @with_permit
    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionResponse:
        """End a session and forget its memories."""
        owner, session_id = current_caller().owner, required_session_id(request.session_id)
        async with self._audit.change("closed", session=session_id):
            await self._persistence.load(owner, session_id, opening=True)
            self._sessions.close(owner, session_id)
        return pb.CloseSessionResponse()

    @property
    def session_idle(self) -> float:
        """Seconds after which an idle session ends."""
        return self._sessions.idle

    async def begin_session(self, session_id: str, anew: bool) -> bool:
        """Whether the session is open, from the store if need be; with `anew` one that is there is closed first."""
        owner = current_caller().owner
        await self._persistence.load(owner, check_session_id(session_id), opening=anew)
        if anew:
            await self._audit.may_change()
            self.end_session(session_id)
        return self._sessions.registry.get(owner, session_id) is not None

    def end_session(self, session_id: str) -> None:
        """Close the session if it is open."""
        if self._sessions.registry.get(owner := current_caller().owner, session_id) is not None:
            self._sessions.close(owner, session_id)
            self._audit.record("closed", session=session_id)

    @with_permit
    async def SnapshotSession(self, request: pb.SnapshotSessionRequest, context: Context) -> pb.SnapshotSessionResponse:
        """An encrypted copy of a session. Raises `TooLarge` when a message cannot hold it."""
        snapshot = await self._persistence.snapshot(current_caller().owner, required_session_id(request.session_id))
        most = self._server_info.limits.message_bytes
        message = pb.SessionSnapshot(session_id=snapshot.session, epoch=snapshot.epoch, state=snapshot.state)
        reply = pb.SnapshotSessionResponse(snapshot=message)
        if reply.ByteSize() > most:  # the request that restores it would be too large as well
            raise TooLarge(f"this snapshot takes {reply.ByteSize()} bytes, a message at most {most}", "session_id")
        return reply

    @with_permit
    async def RestoreSession(self, request: pb.RestoreSessionRequest, context: Context) -> pb.RestoreSessionResponse:
        """Bring a session back from a snapshot of this server or of one with the same secret."""
        async with self._audit.change("restored", session=request.snapshot.session_id) as about:
            with field_prefix("snapshot"):
                owner, state = current_caller().owner, request.snapshot.state
                self._persistence.check_room(owner, request.snapshot.session_id, size=len(state))
                restored = await self._persistence.restore(owner, state, roll_back=request.roll_back)
            about |= {"session": restored.id, "epoch": restored.epoch, "lessons": restored.lessons}
        return pb.RestoreSessionResponse(session=make_session_info(restored))


def required_session_id(id: str) -> str:
    """The valid id of a session that the request must name. Raises `BadRequest`."""
    if not id:
        raise BadRequest("which session?", "session_id")
    return check_session_id(id)


def required_pupil(request: Any) -> tuple[str, str]:
    """The ids of a session or a lesson group, one of which the request must name. Raises `BadRequest`."""
    if request.session_id and request.lesson_group:
        raise BadRequest("a session or a lesson group, not both: a session teaches its group", "lesson_group")
    if request.lesson_group:
        return "", required_group(request.lesson_group)
    return required_session_id(request.session_id), ""


def required_group(id: str) -> str:
    """The valid name of a lesson group that the request must name. Raises `BadRequest`."""
    if not id:
        raise BadRequest("which lesson group?", "lesson_group")
    return check_session_id(id, "lesson_group", GROUP)
