"""Questions: from core values to messages."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.lessons import Question, Reason
from ..core.request import Scores
from .catalogue import paginate
from .responses import top_scores
from .v1 import tta_pb2 as pb
from .well_known import to_timestamp

REASONS = {
    Reason.ASKED: pb.Question.REASON_ASKED,
    Reason.UNIFORM: pb.Question.REASON_UNIFORM,
    Reason.DEFERRED: pb.Question.REASON_DEFERRED,
    Reason.COLLAPSED: pb.Question.REASON_COLLAPSED,
    Reason.INFORMATIVE: pb.Question.REASON_INFORMATIVE,
}
TOP = 5  # scores of a question


def make_questions(
    questions: Iterable[tuple[str, Question]], thumbnails: bool, page_size: int, page_token: str
) -> pb.ListQuestionsResponse:
    """A page of questions with their sessions' ids, oldest first. Raises `BadRequest` for a bad token."""

    def key_of(asked: tuple[str, Question]) -> str:
        return f"{asked[1].example.seen:017.6f} {asked[1].example.id}"

    def bytes_of(asked: tuple[str, Question]) -> int:
        return len(asked[1].example.thumbnail) if thumbnails else 0

    page, token = paginate(questions, key_of, page_size, page_token, bytes_of)
    listed = [make_question(question, session, thumbnails) for session, question in page]
    return pb.ListQuestionsResponse(questions=listed, next_page_token=token)


def make_question(question: Question, session: str, thumbnail: bool) -> pb.Question:
    """Describes a question of that session."""
    example = question.example
    return pb.Question(
        example_id=example.id,
        session_id=session,
        frame_id=example.frame_id,
        request_id=example.request_id,
        label_set_id=example.labels.id,
        reason=REASONS[question.reason],
        seen=to_timestamp(example.seen),
        top=top_scores(Scores.of(question.logits), example.labels.names, TOP),
        thumbnail=example.thumbnail if thumbnail else b"",
    )
