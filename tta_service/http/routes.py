"""Which method answers which path. Messages are in protobuf's JSON mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ..wire.v1 import tta_pb2 as pb

METHODS = pb.DESCRIPTOR.services_by_name["AdaptationService"].methods_by_name


@dataclass(frozen=True)
class Route:
    """A path with fields of the request in braces. `body` is the field that the body holds; "*": it is the request.

    Where the body holds nothing, the other fields are in the query.
    """

    verb: str
    path: str
    method: str
    body: str = ""

    @property
    def request(self) -> type[Message]:
        """The message that the method takes."""
        return GetMessageClass(METHODS[self.method].input_type)

    @property
    def response(self) -> Any:
        """The descriptor of the message that it answers with."""
        return METHODS[self.method].output_type


ROUTES = (
    Route("POST", "/v1/classify", "Classify", "*"),
    Route("POST", "/v1/embed", "Embed", "*"),
    Route("POST", "/v1/label-sets", "PutLabelSet", "label_set"),
    Route("GET", "/v1/label-sets", "ListLabelSets"),
    Route("GET", "/v1/label-sets/{id}", "GetLabelSet"),
    Route("DELETE", "/v1/label-sets/{id}", "DeleteLabelSet"),
    Route("GET", "/v1/strategies", "ListStrategies"),
    Route("PUT", "/v1/strategies/{name}", "SetStrategyState", "*"),
    Route("DELETE", "/v1/owners/{owner}", "DeleteOwner"),
    Route("GET", "/v1/reducers", "ListReducers"),
    Route("GET", "/v1/info", "GetServerInfo"),
    Route("GET", "/v1/sessions", "ListSessions"),
    Route("GET", "/v1/sessions/{session_id}", "GetSession"),
    Route("DELETE", "/v1/sessions/{session_id}", "CloseSession"),
    Route("POST", "/v1/sessions/{session_id}/reset", "ResetSession"),
    Route("GET", "/v1/sessions/{session_id}/snapshot", "SnapshotSession"),
    Route("PUT", "/v1/sessions/{session_id}/snapshot", "RestoreSession", "snapshot"),
    Route("GET", "/v1/sessions/{session_id}/lessons", "ListLessons"),
    Route("POST", "/v1/sessions/{session_id}/lessons", "TeachSession", "*"),
    Route("DELETE", "/v1/sessions/{session_id}/lessons", "Unlearn"),
    Route("GET", "/v1/sessions/{session_id}/questions", "ListQuestions"),
    Route("GET", "/v1/groups/{lesson_group}/lessons", "ListLessons"),
    Route("POST", "/v1/groups/{lesson_group}/lessons", "TeachSession", "*"),
    Route("DELETE", "/v1/groups/{lesson_group}/lessons", "Unlearn"),
    Route("GET", "/v1/groups/{lesson_group}/questions", "ListQuestions"),
    Route("GET", "/v1/groups/{lesson_group}/sums", "GetLessonSums"),
    Route("PUT", "/v1/groups/{lesson_group}/sums", "PutLessonSums", "*"),
)
