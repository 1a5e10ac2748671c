"""Failures of frames that cannot be sent: each is reported once, in its place, whatever happens to the calls."""

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
    st.sampled_from(["step", "step", "step", "answer", "take", "lose", "drain", "open", "end"]), max_size=60
)
KINDS = st.lists(st.sampled_from(["good", "bad", "lost its place"]), max_size=8)


class Mixed(World):
    """Its frames are of these kinds. `reported` holds the positions in the source of all results, from the scenes."""

    def __init__(self, policy: Any, in_flight: int, kinds: list[str]) -> None:
        super().__init__(policy, in_flight, len(kinds))
        self.kinds, self.reported = kinds, list[int]()

    def step(self) -> None:
        self.now += 0.01
        step = self.state.step(self.now)
        if isinstance(step, Frame) and self.kinds[int(step.scene)] == "bad":
            self.state.fail(step, WRONG)
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
            self.report([*self.state.take_failures(result.frame_id), result])

    def take(self) -> None:
        self.report(self.state.take_failures())

    def lose(self) -> None:
        self.report(self.state.take_failures(None if self.state.blocking else math.inf))
        super().lose()

    def report(self, results: list[FrameAnswer | FrameFailure]) -> None:
        self.reported += [int(result.scene) for result in results if result.scene]


def play(policy: str, in_flight: int, kinds: list[str], events: list[str]) -> Mixed:
    world = Mixed(policy, in_flight, kinds)
    world.open()
    for event in events:
        getattr(world, event)()
        pending = world.pulled - len(set(world.reported)) - world.state.statistics.dropped["disconnect"]
        assert policy != "block" or pending <= in_flight + 1
    for _ in range(20 * len(kinds) + 50):
        world.now += 1.0
        for event in ("open", "step", "take", "answer", "end"):
            getattr(world, event)()
    world.report(world.state.take_failures(math.inf))
    return world


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 5), KINDS)
def test_a_blocking_stream_reports_every_frame_in_order(events: list[str], in_flight: int, kinds: list[str]) -> None:
    world = play("block", in_flight, kinds, events)
    assert world.left == 0 and not world.state.should_continue and not world.state.statistics.dropped
    firsts = list(dict.fromkeys(world.reported))
    assert firsts == list(range(len(kinds)))
    wrong = [number for number, kind in enumerate(kinds) if kind != "good"]
    assert [number for number in world.reported if number in wrong] == wrong  # once each
    assert world.state.statistics.failures == len(wrong)
    assert world.state.statistics.sent == sum(map(len, world.calls))


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.sampled_from(["latest", "drop_oldest"]), KINDS)
def test_a_live_stream_reports_every_frame_or_counts_it(events: list[str], policy: str, kinds: list[str]) -> None:
    world = play(policy, 8, kinds, events)
    assert world.reported == sorted(set(world.reported))
    assert len(world.reported) + world.state.statistics.dropped["disconnect"] == world.pulled == len(kinds)
    assert world.state.statistics.sent == sum(map(len, world.calls))


def test_an_unsent_frame_is_not_unanswered() -> None:
    """The service owes no reply for it, and it does not postpone the watchdog."""
    state = StreamState("latest", reconnect=Reconnect(stall=5.0))
    state.on_call_opened()
    state.reconnect.listen(100.0)
    state.add(Frame(1, b""))
    frame = state.step(100.0)
    assert isinstance(frame, Frame)
    state.fail(frame, WRONG)
    assert state.seconds_left(1000.0) == math.inf and state.step(101.0) == math.inf  # until it is reported
    assert [failure.frame_id for failure in state.take_failures()] == [1]
    state.add(Frame(2, b""))
    assert isinstance(state.step(102.0), Frame) and state.seconds_left(103.0) == 4.0
    for number in range(3, 6):
        state.add(Frame(number, b""))
        frame = state.step(102.0 + number)
        assert isinstance(frame, Frame)
        state.fail(frame, WRONG)
    assert state.seconds_left(106.0) == 1.0 and not state.take_failures()


def test_failures_behind_an_answer_that_never_comes_are_bounded_and_counted() -> None:
    state = StreamState("drop_newest", paced=False)
    state.on_call_opened()
    for number in range(1, MAX_REMEMBERED + 12):
        state.add(Frame(number, b""))
        frame = state.step(float(number))
        assert isinstance(frame, Frame)
        if number > 1:
            state.fail(frame, WRONG)
    assert not state.take_failures() and state.statistics.dropped == {"unreadable": 10}
    assert [failure.frame_id for failure in state.take_failures(math.inf)] == list(range(12, MAX_REMEMBERED + 12))


@pytest.mark.parametrize(("policy", "reported"), [("block", [2]), ("latest", [])])
def test_a_frame_that_fails_after_its_call_is_reported_unless_it_was_lost(policy: Any, reported: list[int]) -> None:
    state = StreamState(policy, paced=False, reconnect=Reconnect())
    state.on_call_opened()
    for number in (1, 2):
        state.add(Frame(number, b""))
        frame = state.step(1.0)
    assert isinstance(frame, Frame)
    state.on_call_lost(TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone"))
    state.fail(frame, WRONG)
    state.on_call_opened()
    if policy == "block":
        again = state.step(2.0)
        assert not state.take_failures() and isinstance(again, Frame) and again.frame_id == 1
        state.read(pb.ClassifyStreamResponse(answer=pb.FrameAnswer(frame_id=1)), 3.0)
    assert [failure.frame_id for failure in state.take_failures()] == reported
    assert state.statistics.dropped["disconnect"] == (0 if reported else 2)
