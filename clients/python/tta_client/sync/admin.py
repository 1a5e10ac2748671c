"""The synchronous client's calls about label sets, sessions and the service."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from .. import health
from ..channel import to_timeout
from ..errors import TTAClientError, from_rpc
from ..protocol import calls
from ..types.catalogue import Description, LabelSetInfo, ServerInfo, SessionInfo, Snapshot
from ..types.labels import LabelSet
from .connection import Connection


class Admin:
    """The calls without images; the client inherits them. All raise `TTAClientError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._calls = connection, calls.Calls()

    # ---- label sets

    def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str] = ()) -> LabelSetInfo:
        """Registers a label set. Its id may be given as `labels` to every call."""
        return self._connection.run(self._calls.put_labels(names, templates))

    def get_labels(self, label_set_id: str) -> LabelSet:
        """The names and templates of a registered label set."""
        return self._connection.run(self._calls.get_labels(label_set_id))

    def list_labels(self) -> list[LabelSetInfo]:
        """All registered label sets."""
        return self._connection.run(self._calls.list_labels())

    def delete_labels(self, label_set_id: str) -> None:
        """Deletes a label set; a client that uses it again registers it again."""
        return self._connection.run(self._calls.delete_labels(label_set_id))

    # ---- sessions

    def session(self, session_id: str) -> SessionInfo:
        """One session."""
        return self._connection.run(calls.get_session(session_id))

    def sessions(self) -> list[SessionInfo]:
        """All sessions."""
        return self._connection.run(calls.list_sessions())

    def reset_session(self, session_id: str) -> SessionInfo:
        """Empties the memory of the session's strategies; the session stays."""
        return self._connection.run(calls.reset_session(session_id))

    def close_session(self, session_id: str) -> None:
        """Ends a session and deletes its memory."""
        return self._connection.run(calls.close_session(session_id))

    def snapshot(self, session_id: str) -> Snapshot:
        """A copy of what the session's strategies have learnt, for `restore`, here or on another service."""
        return self._connection.run(calls.snapshot_session(session_id))

    def restore(self, snapshot: Snapshot | bytes) -> SessionInfo:
        """Restores a session from a snapshot, or from its `state` alone. It replaces an idle session of the same id."""
        return self._connection.run(calls.restore_session(snapshot))

    # ---- the service

    def strategies(self) -> list[Description]:
        """The strategies of the service and their parameters."""
        return self._connection.run(calls.list_strategies())

    def reducers(self) -> list[Description]:
        """The reducers of the service and their parameters."""
        return self._connection.run(calls.list_reducers())

    def info(self) -> ServerInfo:
        """The server: its version, model, device and limits."""
        return self._connection.run(calls.get_server_info())

    def health(self, service: str = "") -> str:
        """One of "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"."""
        try:
            check = health.make_stub(self._connection.channel).Check
            return health.read_state(self._connection.ask(check, health.make_request(service)))
        except TTAClientError as error:
            return health.state_of_error(error)

    def wait_until_serving(self, timeout: float | None = 60.0) -> None:
        """Returns when the service is serving; it may be called before the service starts.

        Raises DEADLINE_EXCEEDED after `timeout` seconds (None: never).
        """
        watch = health.make_stub(self._connection.channel).Watch
        replies = watch(health.make_request(), timeout=to_timeout(timeout), wait_for_ready=True)
        try:
            for reply in replies:
                if health.read_state(reply) == "SERVING":
                    return
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        raise health.SERVICE_LEFT
