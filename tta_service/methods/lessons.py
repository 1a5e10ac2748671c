"""The methods that teach a session or lesson group, and take lessons back."""

from __future__ import annotations

import asyncio
from functools import partial

from ..core.errors import BadRequest
from ..core.lessons import LessonRequest, LessonResult
from ..serving.persistence.service import SessionPersistence
from ..serving.teaching import Teaching
from ..serving.text.label_sets import LabelSets
from ..wire.identity import Caller, current_caller
from ..wire.lesson_sums import make_sums, parse_sums, parse_sums_request
from ..wire.lessons import check_number, make_lessons, make_refusal, make_result, parse_lesson
from ..wire.questions import make_questions
from ..wire.server_info import ServerInfo
from ..wire.v1 import tta_pb2 as pb
from .audit import Audit
from .context import Context
from .permits import NeedsPermits, with_permit
from .sessions import required_group, required_pupil


class LessonMethods(NeedsPermits):
    """Lessons of the caller's sessions and groups. They are in the store, if any, before the caller hears of them."""

    def __init__(
        self,
        teaching: Teaching,
        label_sets: LabelSets,
        persistence: SessionPersistence,
        server_info: ServerInfo,
        audit: Audit,
    ) -> None:
        self._teaching, self._label_sets = teaching, label_sets
        self._persistence, self._server_info, self._audit = persistence, server_info, audit

    @with_permit
    async def TeachSession(self, request: pb.TeachSessionRequest, context: Context) -> pb.TeachSessionResponse:
        """Teach a session or a group lessons in their order; one that is refused does not keep back the others."""
        caller, (session_id, group) = current_caller(), required_pupil(request)
        if not request.lessons:
            raise BadRequest("there are no lessons", "lessons")
        check_number(len(request.lessons), "lessons", self._server_info)
        await self._audit.may_change()
        await self._persistence.load(caller.owner, session_id, opening=True, group=group)
        results = [
            await self._teach(lesson, f"lessons[{place}]", session_id, group, caller)
            for place, lesson in enumerate(request.lessons)
        ]
        taught = [result for result in results if not result.HasField("status")]
        stored = bool(taught) and await self._persistence.save_lessons(caller.owner, session_id, group)
        for result in taught:
            result.stored = stored
        return pb.TeachSessionResponse(results=results)

    @with_permit
    async def Unlearn(self, request: pb.UnlearnRequest, context: Context) -> pb.UnlearnResponse:
        """Take lessons back. Examples without a lesson are left out of the response.

        Raises `UnknownSession`, `UnknownGroup`.
        """
        owner, (session_id, group) = current_caller().owner, required_pupil(request)
        check_number(len(request.example_ids), "example_ids", self._server_info)
        async with self._audit.change("unlearnt", session=session_id, group=group) as about:
            await self._persistence.load(owner, session_id, opening=True, group=group)
            unlearnt, began_anew = await self._teaching.unlearn(owner, session_id, list(request.example_ids), group)
            about["examples"] = unlearnt
        stored = await self._persistence.save_lessons(owner, session_id, group)
        return pb.UnlearnResponse(unlearnt=unlearnt, began_anew=began_anew, stored=stored)

    @with_permit
    async def ListLessons(self, request: pb.ListLessonsRequest, context: Context) -> pb.ListLessonsResponse:
        """One page of the lessons of a session or group, in the order of teaching.

        Raises `UnknownSession`, `UnknownGroup`.
        """
        owner, (session_id, group) = current_caller().owner, required_pupil(request)
        await self._persistence.load(owner, session_id, opening=True, group=group)
        lessons = self._teaching.lessons(owner, session_id, group)
        return make_lessons(lessons, request.recorded, request.page_size, request.page_token, self._server_info)

    @with_permit
    async def ListQuestions(self, request: pb.ListQuestionsRequest, context: Context) -> pb.ListQuestionsResponse:
        """One page of the questions of a session, or of all sessions of a group on this server, oldest first.

        Raises `UnknownSession`, `UnknownGroup`.
        """
        owner, (session_id, group) = current_caller().owner, required_pupil(request)
        await self._persistence.load(owner, session_id, opening=True, group=group)
        questions = self._teaching.questions(owner, session_id, group)
        return make_questions(questions, request.thumbnails, request.page_size, request.page_token)

    @with_permit
    async def GetLessonSums(self, request: pb.GetLessonSumsRequest, context: Context) -> pb.GetLessonSumsResponse:
        """The sums of a group's own lessons, for other sites. Raises `UnknownGroup`, `TooLarge`."""
        owner, group = current_caller().owner, required_group(request.lesson_group)
        find_labels = partial(self._label_sets.labels, owner)
        asked = parse_sums_request(request, find_labels, self._server_info)
        await self._persistence.load(owner, "", opening=True, group=group)
        return make_sums(*await self._teaching.sums.give(owner, group, asked), self._server_info)

    @with_permit
    async def PutLessonSums(self, request: pb.PutLessonSumsRequest, context: Context) -> pb.PutLessonSumsResponse:
        """Take the sums of another site in place of those before. Raises `MemoryFull`; without sums `UnknownGroup`."""
        owner, group = current_caller().owner, required_group(request.lesson_group)
        site, sums = parse_sums(request, self._server_info)
        lessons = sum(int(one.counts.sum()) for one in sums)
        self._persistence.check_room(owner, group=group)
        async with self._audit.change("sums_put", group=group, site=site, lessons=lessons):
            await self._persistence.load(owner, "", opening=True, group=group)
            began_anew = await self._teaching.sums.take(owner, group, site, sums)
        stored = await self._persistence.save_lessons(owner, "", group)
        return pb.PutLessonSumsResponse(began_anew=began_anew, stored=stored)

    async def teach_lesson(
        self, caller: Caller, session_id: str, lesson: LessonRequest, group: str = ""
    ) -> LessonResult:
        """Teach one lesson."""
        self._persistence.check_room(caller.owner, session_id, group)
        async with self._audit.change("taught", session=session_id, group=group, label=lesson.label) as about:
            result = await self._teaching.teach(caller.owner, session_id, lesson, caller.client, group)
            about |= {"example": result.example, "replaced": result.replaced}
        return result

    async def _teach(
        self, message: pb.Lesson, path: str, session_id: str, group: str, caller: Caller
    ) -> pb.LessonResult:
        await asyncio.sleep(0)  # a refused lesson waits for nothing, but others must not wait for a thousand
        try:
            lesson = parse_lesson(message, partial(self._label_sets.labels, caller.owner), self._server_info, path)
        except Exception as error:
            return make_refusal(message, error, path, located=True)
        try:
            return make_result(await self.teach_lesson(caller, session_id, lesson, group))
        except Exception as error:
            return make_refusal(message, error, path)
