"""The unary calls of both clients, as generators that yield each `RpcCall` and receive its reply.

The generators do no I/O; a client makes the calls and throws a failed one into the generator as `TTAClientError`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import TTAClientError, blame_field, is_retryable, labels_are_gone
from ..types import catalogue as listings
from ..types import requests
from ..types.answers import Answer, parse_answer
from ..types.catalogue import Description, LabelSetInfo, ServerInfo, SessionInfo, Snapshot
from ..types.frames import Image
from ..types.labels import Labels, LabelSet, RegisteredLabels, make_label_set_message, parse_label_set
from ..types.limits import UNLIMITED, Limits
from ..types.options import Options
from ..v1 import tta_pb2 as pb

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One call: the RPC's name, the request, its time limit in seconds (None: the client's).

    `session` routes the call to the session's server where the request has no session id.
    """

    rpc: str
    message: Any
    seconds: float | None = None
    session: str = ""


CallSteps = Generator[RpcCall, Any, T]


class Calls:
    """The calls of one client that share state: its registered labels, and the service's limits once it has asked."""

    def __init__(self) -> None:
        self.registered = RegisteredLabels()
        self._limits: Limits | None = None

    def forget(self) -> None:
        """The next server may have other label sets and limits."""
        self.registered.forget_all()
        self._limits = None

    def limits(self, session: str = "", seconds: float | None = None) -> CallSteps[Limits]:
        """The service's limits, fetched once. A service that does not tell them is taken to have none."""
        if (limits := self._limits) is None:
            try:
                reply = yield RpcCall("GetServerInfo", pb.GetServerInfoRequest(), seconds, session)
                limits = Limits.of(listings.parse_server_info(reply).limits)
            except TTAClientError as error:
                if is_retryable(error):
                    raise
                limits = UNLIMITED
            self._limits = limits
        return limits

    def classify(
        self, image: Image, labels: Labels, options: Options, session: str, request_id: str, seconds: float | None
    ) -> CallSteps[Answer]:
        """One image, one answer. Registers the labels when the service does not have them."""
        limits = yield from self.limits(session, seconds)
        message = requests.make_classify_request(image, options, session, request_id, limits)

        def ask(label_set_id: str) -> CallSteps[Any]:
            message.labels.id = label_set_id
            return (yield RpcCall("Classify", message, seconds))

        return parse_answer((yield from self._with_labels(labels, ask, session)))

    # ---- label sets

    def register(self, labels: LabelSet, session: str = "") -> CallSteps[LabelSetInfo]:
        """Registers a label set at the server of the `session`: the servers of a fleet do not share label sets."""
        message = pb.PutLabelSetRequest(label_set=make_label_set_message(labels))
        reply = yield RpcCall("PutLabelSet", message, session=session)
        self.registered.remember(labels, reply.info.id)
        return listings.parse_label_set_info(reply.info)

    def identify(self, labels: Labels, session: str = "") -> CallSteps[str]:
        """The id of a label set, which is registered if it is not yet. An unknown id is returned as it is."""
        with blame_field("labels"):
            definition = self.registered.definition(labels)
        if definition is None:
            return str(labels)
        return self.registered.id(definition) or (yield from self.register(definition, session)).id

    def put_labels(self, names: Sequence[str] | LabelSet, templates: Sequence[str]) -> CallSteps[LabelSetInfo]:
        """Registers names, or a whole set. Raises `Refused` for what are no labels."""
        with blame_field("label_set"):
            definition = parse_label_set(names if isinstance(names, LabelSet) else LabelSet(names, templates))  # type: ignore[arg-type]
        return self.register(definition)

    def get_labels(self, id: str) -> CallSteps[LabelSet]:
        """The names and templates of a registered set."""
        reply = yield RpcCall("GetLabelSet", pb.GetLabelSetRequest(id=id))
        found = reply.label_set
        return LabelSet(tuple(found.names), tuple(found.templates), found.allow_duplicates)

    def list_labels(self) -> CallSteps[list[LabelSetInfo]]:
        """All registered sets."""
        infos = yield from _pages("ListLabelSets", pb.ListLabelSetsRequest, "infos")
        return [listings.parse_label_set_info(info) for info in infos]

    def delete_labels(self, id: str) -> CallSteps[None]:
        """Removes a set from the service. A known one is registered again on its next use."""
        yield RpcCall("DeleteLabelSet", pb.DeleteLabelSetRequest(id=id))
        self.registered.forget(id)

    def _with_labels(self, labels: Labels, ask: Callable[[str], CallSteps[T]], session: str) -> CallSteps[T]:
        """Calls `ask` with the id of the labels, and once more when the service does not have them any more."""
        try:
            return (yield from ask((yield from self.identify(labels, session))))
        except TTAClientError as error:
            if not labels_are_gone(error) or self.registered.definition(labels) is None:
                raise
        self.registered.forget(labels)
        return (yield from ask((yield from self.identify(labels, session))))


# ---- sessions


def get_session(id: str) -> CallSteps[SessionInfo]:
    """One session."""
    return listings.parse_session_info((yield RpcCall("GetSession", pb.GetSessionRequest(session_id=id))).session)


def list_sessions() -> CallSteps[list[SessionInfo]]:
    """All sessions of a server."""
    found = yield from _pages("ListSessions", pb.ListSessionsRequest, "sessions")
    return [listings.parse_session_info(one) for one in found]


def reset_session(id: str) -> CallSteps[SessionInfo]:
    """Empties the session's memory; the session stays."""
    return listings.parse_session_info((yield RpcCall("ResetSession", pb.ResetSessionRequest(session_id=id))).session)


def close_session(id: str) -> CallSteps[None]:
    """Ends a session and deletes its memory."""
    yield RpcCall("CloseSession", pb.CloseSessionRequest(session_id=id))


def snapshot_session(id: str) -> CallSteps[Snapshot]:
    """A copy of a session."""
    return listings.parse_snapshot(
        (yield RpcCall("SnapshotSession", pb.SnapshotSessionRequest(session_id=id))).snapshot
    )


def restore_session(given: Snapshot | bytes) -> CallSteps[SessionInfo]:
    """Restores a session from its copy, at the server of that session."""
    message = pb.RestoreSessionRequest(snapshot=listings.make_snapshot_message(given))
    reply = yield RpcCall("RestoreSession", message, session=message.snapshot.session_id)
    return listings.parse_session_info(reply.session)


# ---- the service


def list_strategies() -> CallSteps[list[Description]]:
    """The service's strategies."""
    reply = yield RpcCall("ListStrategies", pb.ListStrategiesRequest())
    return [listings.parse_description(one) for one in reply.strategies]


def list_reducers() -> CallSteps[list[Description]]:
    """The service's reducers."""
    reply = yield RpcCall("ListReducers", pb.ListReducersRequest())
    return [listings.parse_description(one) for one in reply.reducers]


def get_server_info() -> CallSteps[ServerInfo]:
    """The server, its model and its limits."""
    return listings.parse_server_info((yield RpcCall("GetServerInfo", pb.GetServerInfoRequest())))


def _pages(rpc: str, request: Callable[..., Any], field: str) -> CallSteps[list[Any]]:
    """All entries of a paged listing."""
    found, token = list[Any](), ""
    while True:
        reply = yield RpcCall(rpc, request(page_token=token))
        found += getattr(reply, field)
        token = reply.next_page_token
        if not token:
            return found
