"""Failures of frames that could not be sent: told once each, in their places, whatever happens to calls meanwhile."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tta_client import Frame, FrameAnswer, FrameFailure, Reconnect, TTAClientError
from tta_client.protocol.in_flight import MAX_REMEMBERED
from tta_client.protocol.stream_state import StreamState
from tta_client.v1 import tta_pb2 as pb

from tests.client.protocol.test_stream_state import World

WRONG = TTAClientError(grpc.StatusCode.INVALID_ARGUMENT, "frame.image: no picture", "frame.image")
EVENTS = st.lists(
    st.sampled_from(["step", "step", "step", "answer", "hear", "lose", "drain", "open", "end"]), max_size=60
)
KINDS = st.lists(st.sampled_from(["good", "bad", "lost its place"]), max_size=8)


class Mixed(World):
    """Its frames are of these kinds. What is told is noted as the places in the source, by the scenes."""

    def __init__(self, policy: Any, in_flight: int, kinds: list[str]) -> None:
        super().__init__(policy, in_flight, len(kinds))
        self.kinds, self.told = kinds, list[int]()

    def step(self) -> None:
        self.now += 0.01
        step = self.state.step(self.now)
        if isinstance(step, Frame) and self.kinds[int(step.scene)] == "bad":
            self.state.fail_frame(step, WRONG)
        elif isinstance(step, Frame):
            self.waiting.append(step.frame_id)
            self.calls[-1].append(step.frame_id)
        elif step == "pull" and self.left == 0:
            self.state.source_ended = True
        elif step == "pull":
            number = len(self.kinds) - self.left
            self.left, self.pulled = self.left - 1, self.pulled + 1
            self.state.add(Frame(-1 if self.kinds[number] == "lost its place" else number + 1, b"", scene=str(number)))

    def reply(self, **kind: Any) -> None:
        result = self.state.read(pb.ClassifyStreamResponse(**kind), self.now)
        if result is not None:
            self.tell([*self.state.take_failures(result.frame_id), result])

    def hear(self) -> None:
        self.tell(self.state.take_failures())

    def lose(self) -> None:
        self.tell(self.state.take_failures(None if self.state.blocking else math.inf))
        super().lose()

    def tell(self, results: list[FrameAnswer | FrameFailure]) -> None:
        self.told += [int(result.scene) for result in results if result.scene]


def played(policy: str, in_flight: int, kinds: list[str], events: list[str]) -> Mixed:
    world = Mixed(policy, in_flight, kinds)
    world.open()
    for event in events:
        getattr(world, event)()
        held = world.pulled - len(set(world.told)) - world.state.statistics.dropped["disconnect"]
        assert policy != "block" or held <= in_flight + 1
    for _ in range(20 * len(kinds) + 50):
        world.now += 1.0
        for event in ("open", "step", "hear", "answer", "end"):
            getattr(world, event)()
    world.tell(world.state.take_failures(math.inf))
    return world


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 5), KINDS)
def test_a_blocking_stream_tells_of_every_frame_in_order(events: list[str], in_flight: int, kinds: list[str]) -> None:
    world = played("block", in_flight, kinds, events)
    assert world.left == 0 and not world.state.should_continue and not world.state.statistics.dropped
    firsts = list(dict.fromkeys(world.told))
    assert firsts == list(range(len(kinds)))
    wrong = [number for number, kind in enumerate(kinds) if kind != "good"]
    assert [number for number in world.told if number in wrong] == wrong  # once each
    assert world.state.statistics.failures == len(wrong)
    assert world.state.statistics.sent == sum(map(len, world.calls))


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.sampled_from(["latest", "drop_oldest"]), KINDS)
def test_a_live_stream_tells_of_every_frame_or_counts_it(events: list[str], policy: str, kinds: list[str]) -> None:
    world = played(policy, 8, kinds, events)
    assert world.told == sorted(set(world.told))
    assert len(world.told) + world.state.statistics.dropped["disconnect"] == world.pulled == len(kinds)
    assert world.state.statistics.sent == sum(map(len, world.calls))


def test_what_is_not_sent_is_not_under_way() -> None:
    """Neither does a service owe a word for it, nor does it make a silent one seem to live."""
    course = StreamState("latest", reconnect=Reconnect(stall=5.0))
    course.on_call_opened()
    course.listen(100.0)
    course.add(Frame(1, b""))
    frame = course.step(100.0)
    assert isinstance(frame, Frame)
    course.fail_frame(frame, WRONG)
    assert course.seconds_left(1000.0) == math.inf and course.step(101.0) == math.inf  # until it is told
    assert [failure.frame_id for failure in course.take_failures()] == [1]
    course.add(Frame(2, b""))
    assert isinstance(course.step(102.0), Frame) and course.seconds_left(103.0) == 4.0
    for number in range(3, 6):
        course.add(Frame(number, b""))
        frame = course.step(102.0 + number)
        assert isinstance(frame, Frame)
        course.fail_frame(frame, WRONG)
    assert course.seconds_left(106.0) == 1.0 and not course.take_failures()


def test_what_waits_for_an_answer_that_never_comes_is_bounded_and_counted() -> None:
    course = StreamState("drop_newest", paced=False)
    course.on_call_opened()
    for number in range(1, MAX_REMEMBERED + 12):
        course.add(Frame(number, b""))
        frame = course.step(float(number))
        assert isinstance(frame, Frame)
        if number > 1:
            course.fail_frame(frame, WRONG)
    assert not course.take_failures() and course.statistics.dropped == {"unreadable": 10}
    assert [failure.frame_id for failure in course.take_failures(math.inf)] == list(range(12, MAX_REMEMBERED + 12))


@pytest.mark.parametrize(("policy", "told"), [("block", [2]), ("latest", [])])
def test_a_frame_that_fails_after_its_call_has_is_told_of_where_it_was_not_lost(policy: Any, told: list[int]) -> None:
    course = StreamState(policy, paced=False, reconnect=Reconnect())
    course.on_call_opened()
    for number in (1, 2):
        course.add(Frame(number, b""))
        frame = course.step(1.0)
    assert isinstance(frame, Frame)
    course.on_call_lost(TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone"))
    course.fail_frame(frame, WRONG)
    course.on_call_opened()
    if policy == "block":
        again = course.step(2.0)
        assert not course.take_failures() and isinstance(again, Frame) and again.frame_id == 1
        course.read(pb.ClassifyStreamResponse(answer=pb.FrameAnswer(frame_id=1)), 3.0)
    assert [failure.frame_id for failure in course.take_failures()] == told
    assert course.statistics.dropped["disconnect"] == (0 if told else 2)
