"""Generated from aio/admin.py by protos/generate_sync.py (`make proto`); not edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ..channel import parse_session, to_timeout
from ..errors import TTAClientError, blame_field, from_rpc
from ..types import catalogue
from ..types.catalogue import DeletedOwner, Description, LabelSetInfo, ServerInfo, SessionInfo, Snapshot
from ..types.labels import LabelSet, parse_label_set, read_label_set
from ..types.values import parse_text
from ..v1 import tta_pb2 as pb
from .connection import Connection, Registry

make_health_stub: Any = HealthStub  # which has no types


class Admin:
    """The calls without images; the client inherits them. All raise `TTAClientError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._registry = connection, Registry(connection)
        self._call = connection.call_unary

    # ---- label sets

    def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str] = ()) -> LabelSetInfo:
        """Registers a label set. Its id may be given as `labels` to every call."""
        with blame_field("label_set"):
            labels = parse_label_set(names if isinstance(names, LabelSet) else LabelSet(names, templates))  # type: ignore[arg-type]
        return self._registry.register(labels)

    def get_labels(self, label_set_id: str) -> LabelSet:
        """The names, templates and sentences of a registered label set."""
        found = (self._call("GetLabelSet", pb.GetLabelSetRequest(id=parse_text(label_set_id, "id")))).label_set
        return read_label_set(found)

    def list_labels(self) -> list[LabelSetInfo]:
        """All registered label sets."""
        return self._list("ListLabelSets", pb.ListLabelSetsRequest, "infos", catalogue.parse_label_set_info)

    def delete_labels(self, label_set_id: str) -> None:
        """Deletes a label set; a client that uses it again registers it again."""
        self._call("DeleteLabelSet", pb.DeleteLabelSetRequest(id=parse_text(label_set_id, "id")))
        self._registry.labels.forget(label_set_id)

    # ---- sessions

    def session(self, session_id: str) -> SessionInfo:
        """One session."""
        reply = self._call("GetSession", pb.GetSessionRequest(session_id=parse_session(session_id)))
        return catalogue.parse_session_info(reply.session)

    def sessions(self) -> list[SessionInfo]:
        """All sessions."""
        return self._list("ListSessions", pb.ListSessionsRequest, "sessions", catalogue.parse_session_info)

    def reset_session(self, session_id: str) -> SessionInfo:
        """Empties the memory of the session's strategies; the session stays."""
        reply = self._call("ResetSession", pb.ResetSessionRequest(session_id=parse_session(session_id)))
        return catalogue.parse_session_info(reply.session)

    def close_session(self, session_id: str) -> None:
        """Ends a session and deletes its memory."""
        self._call("CloseSession", pb.CloseSessionRequest(session_id=parse_session(session_id)))

    def snapshot(self, session_id: str) -> Snapshot:
        """A copy of what the session's strategies have learnt, for `restore`, here or on another service."""
        reply = self._call("SnapshotSession", pb.SnapshotSessionRequest(session_id=parse_session(session_id)))
        return catalogue.parse_snapshot(reply.snapshot)

    def restore(self, snapshot: Snapshot | bytes, *, roll_back: bool = False) -> SessionInfo:
        """Restores a session from a snapshot, or from its `state` alone. It replaces an idle session of the same id.

        One that has answered more frames since, or was taught more, is replaced with `roll_back` only.
        """
        message = pb.RestoreSessionRequest(snapshot=catalogue.make_snapshot_message(snapshot), roll_back=roll_back)
        reply = self._call("RestoreSession", message, session=message.snapshot.session_id)
        return catalogue.parse_session_info(reply.session)

    # ---- the service

    def strategies(self) -> list[Description]:
        """The strategies of the service and their parameters."""
        reply = self._call("ListStrategies", pb.ListStrategiesRequest())
        return [catalogue.parse_description(one) for one in reply.strategies]

    def reducers(self) -> list[Description]:
        """The reducers of the service and their parameters."""
        reply = self._call("ListReducers", pb.ListReducersRequest())
        return [catalogue.parse_description(one) for one in reply.reducers]

    def delete_owner(self, owner: str) -> DeletedOwner:
        """Deletes all that the service and its state store have of an owner, for callers with the role admin.

        It may be repeated. Revoke the owner's keys first, and do it on each server that shares the store.
        """
        message = pb.DeleteOwnerRequest(owner=parse_text(owner, "owner"))
        return catalogue.parse_deleted_owner(self._call("DeleteOwner", message))

    def info(self) -> ServerInfo:
        """The server: its version, model, device and limits."""
        return catalogue.parse_server_info(self._call("GetServerInfo", pb.GetServerInfoRequest()))

    def health(self, service: str = "") -> str:
        """One of "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"."""
        try:
            check = make_health_stub(self._connection.channel).Check
            return _read_state(self._call(check, HealthCheckRequest(service=parse_text(service, "service"))))
        except TTAClientError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:  # by which `Check` answers for an unknown service
                raise
            return "SERVICE_UNKNOWN"

    def wait_until_serving(self, timeout: float | None = 60.0) -> None:
        """Returns when the service is serving; it may be called before the service starts.

        Raises DEADLINE_EXCEEDED after `timeout` seconds (None: never).
        """
        watch = make_health_stub(self._connection.channel).Watch
        replies = watch(HealthCheckRequest(), timeout=to_timeout(timeout), wait_for_ready=True)
        try:
            for reply in replies:
                if _read_state(reply) == "SERVING":
                    return
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        raise TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service left before it served")

    def _list(self, rpc: str, request: Callable[..., Any], field: str, parse: Callable[[Any], Any]) -> list[Any]:
        """All entries of a listing, page by page."""
        found, token = list[Any](), ""
        while True:
            reply = self._call(rpc, request(page_token=token))
            found += map(parse, getattr(reply, field))
            if not (token := reply.next_page_token):
                return found


def _read_state(reply: Any) -> str:
    """The name of a health status; UNKNOWN for one that only a newer protocol has."""
    names = HealthCheckResponse.ServingStatus
    return names.Name(reply.status) if reply.status in names.values() else "UNKNOWN"
