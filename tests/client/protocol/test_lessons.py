"""Lessons between the frames of a stream, across its calls."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from tta_client import Frame, Reconnect, TTAClientError
from tta_client.protocol.lessons import StreamLesson
from tta_client.protocol.stream_state import StreamState
from tta_client.v1 import tta_pb2 as pb

LOST = TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone")


class World:
    """A stream of five frames, of which it notes what it sends."""

    def __init__(self, policy: Any = "block", named: bool = True) -> None:
        self.state = StreamState(policy, paced=False, reconnect=Reconnect(), named=named)
        self.pictures = iter([Frame(number, b"x") for number in range(1, 6)])
        self.sent = list[Any]()

    def teach(self, label: str) -> StreamLesson:
        lesson = StreamLesson(label, 1, "", "", None, None, Future())
        self.state.lessons.add(lesson, after=self.state.queue.newest)
        return lesson

    def send(self, most: int = 100) -> list[Any]:
        """What is sent now: ids of frames, labels of lessons."""
        sent = list[Any]()
        while len(sent) < most and not isinstance(step := self.state.step(0.0), float):
            if step == "pull":
                if (frame := next(self.pictures, None)) is None:
                    self.state.source_ended = True
                else:
                    self.state.add(frame)
            else:
                sent.append(step.frame_id if isinstance(step, Frame) else step.label)  # type: ignore[union-attr]
        return sent

    def answer(self, frame_id: int) -> None:
        answer = pb.FrameAnswer(frame_id=frame_id, response=pb.ClassifyResponse(top=[pb.Score()]))
        self.state.read(pb.ClassifyStreamResponse(answer=answer), 0.0)

    def acknowledge(self, **result: Any) -> None:
        self.state.read(pb.ClassifyStreamResponse(lesson=pb.LessonResult(**result)), 0.0)


@pytest.fixture
def world() -> World:
    world = World()
    world.state.on_call_opened()
    return world


def test_a_lesson_is_sent_before_the_frames_that_are_not_sent_yet(world: World) -> None:
    assert world.send(2) == [1, 2]
    world.teach("a"), world.teach("b")
    assert world.send() == ["a", "b", 3, 4, 5]


def test_a_lost_call_is_repeated_as_it_was(world: World) -> None:
    assert world.send(2) == [1, 2]
    world.teach("a"), world.teach("b")
    assert world.send(3) == ["a", "b", 3]
    world.teach("c")
    world.answer(1)
    world.acknowledge()
    world.state.on_call_lost(LOST)
    world.teach("d")
    world.state.on_call_opened()
    assert world.send() == [2, "b", 3, "c", "d", 4, 5]


def test_other_policies_lose_frames_but_no_lesson() -> None:
    world = World("drop_oldest")
    world.state.on_call_opened()
    assert world.send(2) == [1, 2]
    world.teach("a")
    assert world.send(2) == ["a", 3]
    world.state.on_call_lost(LOST)
    world.state.on_call_opened()
    assert world.send() == ["a", 4, 5]


def test_results_come_in_the_order_of_lessons(world: World) -> None:
    lessons = [world.teach("a"), world.teach("b"), world.teach("c")]
    world.send(3)
    world.acknowledge(example_id="1")
    world.acknowledge(status=status_pb2.Status(code=5, message="lesson.frame_id: no such frame"))
    outcomes = world.state.lessons.take_settled()
    assert [lesson for lesson, _ in outcomes] == lessons[:2]
    told, refused = (outcome for _, outcome in outcomes)
    assert not isinstance(told, TTAClientError) and told.example_id == "1"
    assert isinstance(refused, TTAClientError) and refused.code is grpc.StatusCode.NOT_FOUND
    assert world.state.lessons.take_settled() == [] and world.state.lessons.unacknowledged


def test_a_lesson_after_the_last_frame_has_another_call(world: World) -> None:
    world.send()
    assert world.state.all_sent
    world.teach("late")
    for number in range(1, 6):
        world.answer(number)
    assert not world.state.all_sent and world.state.on_call_ended() and world.state.should_continue
    world.state.on_call_opened()
    assert world.send() == ["late"] and world.state.all_sent
    world.acknowledge()
    assert not world.state.on_call_ended() and not world.state.statistics.reconnects


def test_a_server_that_never_acknowledges_is_not_called_for_ever(world: World) -> None:
    world.send()
    for number in range(1, 6):
        world.answer(number)
    world.teach("late")
    calls = 0
    while world.state.on_call_ended():
        calls += 1
        world.state.on_call_opened()
        assert world.send() == ["late"]
    ((_, outcome),) = world.state.lessons.take_settled()
    assert calls < 5 and isinstance(outcome, TTAClientError) and "without a word" in outcome.sentence


def test_labels_of_a_lesson_that_the_server_has_lost_are_registered_again_once(world: World) -> None:
    lesson = world.teach("a")
    lesson.labels = ("a", "b")
    world.send(1)
    gone = status_pb2.Status(code=5, message="no such label set")
    with pytest.raises(TTAClientError) as error:
        world.acknowledge(status=gone)
    world.state.on_call_lost(error.value)
    world.state.on_call_opened()
    assert world.send(1) == ["a"]
    world.acknowledge(status=gone)
    ((again, outcome),) = world.state.lessons.take_settled()
    assert again is lesson and isinstance(outcome, TTAClientError)


def test_a_service_that_owes_a_result_is_watched() -> None:
    world = World("latest")
    world.state.reconnect.listen(0.0)
    world.state.on_call_opened()
    world.send(1)
    world.answer(1)
    world.teach("a")
    assert world.send(1) == ["a"]
    assert world.state.seconds_left(10.0) < 60
