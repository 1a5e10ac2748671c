"""Generated from aio/lessons.py by protos/generate_sync.py (`make proto`); not edited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..channel import parse_group, parse_session
from ..errors import TTAClientError, blame_field, labels_are_gone
from ..types.frames import Image
from ..types.labels import Labels, make_label_set_message, parse_labels
from ..types.lessons import (
    LessonInfo,
    LessonResult,
    dump_lessons,
    load_lessons,
    make_lesson_message,
    pack_lessons,
    parse_lesson_info,
    parse_lesson_result,
)
from ..types.options import Choice, Reduction, make_reduction_message
from ..types.questions import Question, parse_question
from ..types.sums import GivenSums, LessonSums, TakenSums, make_sums_message, parse_given_sums
from ..types.values import parse_number, parse_text, read_fields
from ..v1 import tta_pb2 as pb
from .admin import Admin


class Lessons(Admin):
    """Lessons of sessions; the client inherits these calls. All raise `TTAClientError`."""

    def teach(
        self,
        session: str = "",
        *,
        label: str | None,
        frame: int | None = None,
        request_id: str = "",
        example: str = "",
        image: Image | None = None,
        labels: Labels | None = None,
        group: str = "",
    ) -> LessonResult:
        """Says what one picture shows: a `label`, or with None nothing of its label set.

        A lesson `group` is taught in place of a session: pictures, and examples that it knows.

        The picture is a recent `frame` of the session's stream, a recent call by its `request_id`, an `example` of an
        earlier lesson, or any `image`. `labels` are needed with an image; otherwise they are those with which the frame
        was classified. Frames that come later are answered with the lesson.
        """
        limits = self._registry.get_limits(session)

        def say() -> LessonResult:
            label_set_id = "" if labels is None else self._registry.identify(labels, session)
            lesson = make_lesson_message(label, frame, request_id, example, image, label_set_id, limits)
            request = pb.TeachSessionRequest(**_pupil(session, group), lessons=[lesson])
            return parse_lesson_result((self._call("TeachSession", request)).results[0])

        try:
            return say()
        except TTAClientError as error:
            if labels is None or not labels_are_gone(error) or not self._registry.labels.defines(labels):
                raise
        self._registry.labels.forget(labels)
        return say()

    def unlearn(self, session: str = "", *examples: str, group: str = "") -> list[str]:
        """Takes back all lessons about these examples; the ids of those that there were."""
        ids = [parse_text(example, f"example_ids[{place}]") for place, example in enumerate(examples)]
        request = pb.UnlearnRequest(**_pupil(session, group), example_ids=ids)
        return list((self._call("Unlearn", request)).unlearnt)

    def lessons(self, session: str = "", *, group: str = "") -> list[LessonInfo]:
        """All lessons of a session or a lesson group, in the order of teaching."""

        def request(page_token: str) -> pb.ListLessonsRequest:
            return pb.ListLessonsRequest(**_pupil(session, group), page_token=page_token)

        return self._list("ListLessons", request, "lessons", parse_lesson_info)

    def export_lessons(self, session: str = "", *, group: str = "") -> str:
        """All lessons of a session or a lesson group with their features, as JSON.

        `import_lessons` and `tta-service lessons` teach them elsewhere.
        """
        exported, pupil, token = pb.ListLessonsResponse(), _pupil(session, group), ""
        while True:
            request = pb.ListLessonsRequest(**pupil, page_size=1000, page_token=token, recorded=True)
            page = self._call("ListLessons", request)
            exported.lessons.extend(page.lessons)
            for id, label_set in page.label_sets.items():
                exported.label_sets[id].CopyFrom(label_set)
            if not (token := page.next_page_token):
                return dump_lessons(exported)

    def import_lessons(
        self, session: str = "", exported: str = "", *, group: str = ""
    ) -> list[LessonResult | TTAClientError]:
        """Teaches a session or a lesson group what `export_lessons` gave; a lesson that fails, fails alone."""
        lessons, pupil, labels = load_lessons(exported), _pupil(session, group), dict[str, str]()
        for id, label_set in lessons.label_sets.items():
            reply = self._call("PutLabelSet", pb.PutLabelSetRequest(label_set=label_set))
            labels[id] = reply.info.id
        results = list[LessonResult | TTAClientError]()
        for batch in pack_lessons(lessons, labels):
            reply = self._call("TeachSession", pb.TeachSessionRequest(**pupil, lessons=batch))
            for result in reply.results:
                try:
                    results.append(parse_lesson_result(result))
                except TTAClientError as error:
                    results.append(error)
        return results

    def get_lesson_sums(
        self,
        group: str,
        labels: Labels | None = None,
        *,
        reducer: str | Choice | Reduction | None = None,
        client_features: bool = False,
        epsilon: float = 0.0,
        delta: float = 0.0,
        clip: float = 0.0,
    ) -> GivenSums:
        """What a lesson group was taught as counts, sums and scatter, for `put_lesson_sums` of another site.

        Of one label set, and of lessons about pictures with that `reducer` or about features of clients, if these are
        given. With `epsilon` and `delta` the sums get so much noise that they are (ε, δ)-differentially private for one
        lesson more or less; then they are of `labels` and one reduction. Calls add up: the answer says to how much.
        """
        asked = pb.GetLessonSumsRequest(lesson_group=parse_group(group), client_features=bool(client_features))
        for field, value in (("epsilon", epsilon), ("delta", delta), ("clip", clip)):
            setattr(asked, field, parse_number(value, field))
        if reducer is not None:
            asked.reduction.CopyFrom(make_reduction_message(reducer, "reduction"))
        if labels is not None:
            with blame_field("labels"):
                parsed = parse_labels(labels)
                if isinstance(parsed, str):
                    asked.labels.id = parsed
                else:
                    asked.labels.label_set.CopyFrom(make_label_set_message(parsed))
        return parse_given_sums(self._call("GetLessonSums", asked))

    def put_lesson_sums(self, group: str, site: str, sums: Iterable[LessonSums]) -> TakenSums:
        """What another `site` was taught, in place of what it gave before; no sums take that back."""
        given = [make_sums_message(one, f"sums[{place}]") for place, one in enumerate(sums)]
        names = {"lesson_group": parse_group(group), "site": parse_session(site, "site", "a site's name")}
        return read_fields(TakenSums, self._call("PutLessonSums", pb.PutLessonSumsRequest(**names, sums=given)))

    def questions(self, session: str = "", *, group: str = "", thumbnails: bool = False) -> list[Question]:
        """The questions that wait for a lesson, of a session or of all sessions of a lesson group, oldest first.

        `Options.ask` makes an image a question. `teach(question.session_id, example=question.example_id, label=…)`
        answers it. `thumbnails`: with small JPEGs, where the server makes them.
        """
        where = _pupil(session, group)

        def request(page_token: str) -> pb.ListQuestionsRequest:
            return pb.ListQuestionsRequest(**where, page_token=page_token, thumbnails=bool(thumbnails))

        return self._list("ListQuestions", request, "questions", parse_question)


def _pupil(session: str, group: str) -> dict[str, Any]:
    """Who is taught: a session or a lesson group. Raises `Refused`."""
    return {"session_id": parse_session(session), "lesson_group": parse_group(group)}
