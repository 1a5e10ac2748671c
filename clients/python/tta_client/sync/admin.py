"""What the synchronous client says about label sets, sessions and the service itself."""

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
    """All but the pictures; a client is one of these, `_connection` a service."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._calls = connection, calls.Calls()

    # ---- label sets

    def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str] = ()) -> LabelSetInfo:
        """Register a label set; its id may be given as `labels` everywhere."""
        return self._connection.run(self._calls.put_labels(names, templates))

    def get_labels(self, label_set_id: str) -> LabelSet:
        return self._connection.run(self._calls.get_labels(label_set_id))

    def list_labels(self) -> list[LabelSetInfo]:
        return self._connection.run(self._calls.list_labels())

    def delete_labels(self, label_set_id: str) -> None:
        return self._connection.run(self._calls.delete_labels(label_set_id))

    # ---- sessions

    def session(self, session_id: str) -> SessionInfo:
        return self._connection.run(calls.get_session(session_id))

    def sessions(self) -> list[SessionInfo]:
        return self._connection.run(calls.list_sessions())

    def reset_session(self, session_id: str) -> SessionInfo:
        """Forget what the session's strategies have learnt; the session stays."""
        return self._connection.run(calls.reset_session(session_id))

    def close_session(self, session_id: str) -> None:
        return self._connection.run(calls.close_session(session_id))

    def snapshot(self, session_id: str) -> Snapshot:
        """All that the session's strategies have learnt; `restore` brings it back, here or on another service."""
        return self._connection.run(calls.snapshot_session(session_id))

    def restore(self, snapshot: Snapshot | bytes) -> SessionInfo:
        """The session goes on from a snapshot, or from its `state` alone; one of the same id that rests is replaced."""
        return self._connection.run(calls.restore_session(snapshot))

    # ---- the service

    def strategies(self) -> list[Description]:
        return self._connection.run(calls.list_strategies())

    def reducers(self) -> list[Description]:
        return self._connection.run(calls.list_reducers())

    def info(self) -> ServerInfo:
        return self._connection.run(calls.get_server_info())

    def health(self, service: str = "") -> str:
        """One of "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"."""
        try:
            check = health.make_stub(self._connection.channel).Check
            return health.read_state(self._connection.ask(check, health.make_request(service)))
        except TTAClientError as error:
            return health.state_of_error(error)

    def wait_until_serving(self, timeout: float | None = 60.0) -> None:
        """Returns once the service serves; it need not even run yet.

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
