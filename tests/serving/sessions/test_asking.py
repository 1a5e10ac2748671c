"""Sessions ask by themselves: never more than was allowed, where a word teaches most, and a quarter by chance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.serving.harness import EXACT, LABELS
from tta_service.core.lessons import Example, Lesson, Question, Reason
from tta_service.core.request import PixelFormat, Raw, Report, Request, SessionStatus
from tta_service.serving.sessions.asking import SessionAsking
from tta_service.serving.sessions.lessons import LessonBook
from tta_service.serving.sessions.memory import QuestionTotals
from tta_service.serving.sessions.questions import QuestionBook
from tta_service.strategies.zero_shot import ZeroShot

C = len(LABELS.names)


class Camera:
    """Frames at a steady rate; every question joins the book."""

    def __init__(self, per_hour: float, fps: float) -> None:
        self.per_hour, self.step, self.time, self.frames = per_hour, 1 / fps, 1e6, 0
        self.asking = SessionAsking(lambda: self.time)
        self.book = LessonBook(lambda by: None)
        self.questions = QuestionBook(lambda by: None, QuestionTotals(), 10_000)
        self.asked = list[tuple[float, Reason]]()

    def show(self, logits: torch.Tensor, feature: torch.Tensor) -> Reason | None:
        image = Raw(1, 1, PixelFormat.RGB24, bytes(3))
        request = Request(image, LABELS, ZeroShot(), EXACT)
        views = feature[None].half()
        report = Report(request, ZeroShot(), logits, logits, 1, {}, 1, SessionStatus("s"), example=views)
        self.time += self.step
        self.frames += 1
        reason = self.asking.choose(self.per_hour, report, self.book, self.questions, f"s {self.frames}")
        if reason is not None:
            example = Example(f"e{self.frames}", views, LABELS, EXACT, self.time)
            self.questions.put(Question(example, logits, reason))
            self.asking.count()
            self.asked.append((self.time, reason))
        return reason

    def stream(self, count: int, logits: Callable[[int], torch.Tensor] = lambda i: torch.randn(C)) -> None:
        for i in range(count):
            self.show(logits(i), torch.randn(16))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("per_hour", "fps"), [(12, 0.5), (60, 0.5), (0.5, 0.1), (20, 0.002)])
def test_no_hour_has_more_questions_than_were_allowed_and_the_budget_is_used(per_hour: float, fps: float):
    camera, frames = Camera(per_hour, fps), 500 if fps < 0.01 else 2000
    camera.stream(frames)
    times = [time for time, _ in camera.asked]
    longest = max(3600.0, 3600.0 / per_hour)
    assert all(sum(start <= one < start + longest for one in times) <= max(1, per_hour) for start in times)
    hours = frames / fps / 3600
    assert len(times) >= 0.5 * min(per_hour * hours, frames)


def test_one_question_in_four_is_about_a_frame_that_chance_draws():
    camera = Camera(60, 1)
    unsure = torch.zeros(C)
    certain = torch.tensor([30.0, *[0.0] * (C - 1)])
    camera.stream(2000, lambda i: certain if i % 2 else unsure)
    reasons = [reason for _, reason in camera.asked]
    assert reasons.count(Reason.UNIFORM) == len(reasons) // 4 and len(reasons) > 15
    drawn = [one.logits for one in camera.questions if one.reason is Reason.UNIFORM]
    picked = [one.logits for one in camera.questions if one.reason is Reason.INFORMATIVE]
    assert all(one.max() == 0 for one in picked)  # the unsure ones
    assert any(one.max() > 0 for one in drawn)  # whatever the answer


def test_a_camera_that_nothing_passes_asks_once_and_by_chance():
    camera, same = Camera(60, 1), torch.randn(16)
    for _ in range(2000):
        camera.show(torch.zeros(C), same + 0.01 * torch.randn(16))
    assert [reason for _, reason in camera.asked] == [Reason.INFORMATIVE]


def test_what_is_taught_is_not_asked_again():
    camera, known = Camera(1000, 0.01), torch.randn(16)
    camera.book.put(Lesson(1, Example("taught", known[None].half(), LABELS, EXACT, 0.0), LABELS.names[0]))
    assert camera.show(torch.zeros(C), known) is None
    assert camera.show(torch.zeros(C), torch.randn(16)) is Reason.INFORMATIVE


def test_a_restored_session_keeps_its_budget_whatever_the_clocks_say():
    one = Camera(5, 0.01)
    one.stream(20)
    other = Camera(5, 0.01)
    other.time = 17.0  # another machine's clock
    other.asking.restore(one.asking.encode())
    before = sum(one.time - time < 3600 for time, _ in one.asked)
    other.stream(30)  # 50 minutes
    assert before + sum(time < 17 + 3600 - (one.time - one.asked[-before][0]) for time, _ in other.asked) <= 5
    assert other.asking.encode()["count"] == len(one.asked) + len(other.asked)


def test_frames_that_come_at_once_ask_no_more_than_records():
    camera = Camera(1000, 1e12)
    camera.stream(500)
    assert 1 <= len(camera.asked) < 30
