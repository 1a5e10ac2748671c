"""The asyncio client's calls about label sets, sessions and the service."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from .. import health
from ..channel import to_timeout
from ..errors import TTAClientError, from_rpc
from ..protocol import calls
from ..types.catalogue import Description, LabelSetInfo, ServerInfo, SessionInfo, Snapshot
from ..types.labels import LabelSet
from .connection import AsyncConnection


class AsyncAdmin:
    """The calls without images; the client inherits them. All raise `TTAClientError`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection, self._calls = connection, calls.Calls()

    # ---- label sets

    async def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str] = ()) -> LabelSetInfo:
        """Registers a label set. Its id may be given as `labels` to every call."""
        return await self._connection.run(self._calls.put_labels(names, templates))

    async def get_labels(self, label_set_id: str) -> LabelSet:
        """The names and templates of a registered label set."""
        return await self._connection.run(self._calls.get_labels(label_set_id))

    async def list_labels(self) -> list[LabelSetInfo]:
        """All registered label sets."""
        return await self._connection.run(self._calls.list_labels())

    async def delete_labels(self, label_set_id: str) -> None:
        """Deletes a label set; a client that uses it again registers it again."""
        return await self._connection.run(self._calls.delete_labels(label_set_id))

    # ---- sessions

    async def session(self, session_id: str) -> SessionInfo:
        """One session."""
        return await self._connection.run(calls.get_session(session_id))

    async def sessions(self) -> list[SessionInfo]:
        """All sessions."""
        return await self._connection.run(calls.list_sessions())

    async def reset_session(self, session_id: str) -> SessionInfo:
        """Empties the memory of the session's strategies; the session stays."""
        return await self._connection.run(calls.reset_session(session_id))

    async def close_session(self, session_id: str) -> None:
        """Ends a session and deletes its memory."""
        return await self._connection.run(calls.close_session(session_id))

    async def snapshot(self, session_id: str) -> Snapshot:
        """A copy of what the session's strategies have learnt, for `restore`, here or on another service."""
        return await self._connection.run(calls.snapshot_session(session_id))

    async def restore(self, snapshot: Snapshot | bytes) -> SessionInfo:
        """Restores a session from a snapshot, or from its `state` alone. It replaces an idle session of the same id."""
        return await self._connection.run(calls.restore_session(snapshot))

    # ---- the service

    async def strategies(self) -> list[Description]:
        """The strategies of the service and their parameters."""
        return await self._connection.run(calls.list_strategies())

    async def reducers(self) -> list[Description]:
        """The reducers of the service and their parameters."""
        return await self._connection.run(calls.list_reducers())

    async def info(self) -> ServerInfo:
        """The server: its version, model, device and limits."""
        return await self._connection.run(calls.get_server_info())

    async def health(self, service: str = "") -> str:
        """One of "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"."""
        try:
            check = health.make_stub(self._connection.channel).Check
            return health.read_state(await self._connection.ask(check, health.make_request(service)))
        except TTAClientError as error:
            return health.state_of_error(error)

    async def wait_until_serving(self, timeout: float | None = 60.0) -> None:  # noqa: ASYNC109 - the deadline of the call
        """Returns when the service is serving; it may be called before the service starts.

        Raises DEADLINE_EXCEEDED after `timeout` seconds (None: never).
        """
        watch = health.make_stub(self._connection.channel).Watch
        replies = watch(health.make_request(), timeout=to_timeout(timeout), wait_for_ready=True)
        try:
            async for reply in replies:
                if health.read_state(reply) == "SERVING":
                    return
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        raise health.SERVICE_LEFT
