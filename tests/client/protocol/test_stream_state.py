"""The state of a stream under every order of events: its promises hold however calls fail and sources end."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from tta_client import Frame, FrameAnswer, FrameFailure, Reconnect, TTAClientError
from tta_client.protocol.stream_state import StreamState
from tta_client.v1 import tta_pb2 as pb

LOST = TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone")
EVENTS = st.lists(st.sampled_from(["step", "step", "answer", "lose", "drain", "open", "end"]), max_size=60)


class World:
    """A service, a source of frames and a driver, moved by hand."""

    def __init__(self, policy: Any, in_flight: int, frames: int) -> None:
        self.state = StreamState(policy, in_flight, reconnect=Reconnect())
        self.left, self.pulled, self.now = frames, 0, 0.0
        self.waiting: list[int] = []  # sent on this call and not answered
        self.order: list[int] = []  # of the answers
        self.calls: list[list[int]] = []  # the frames of each call

    def open(self) -> None:
        if not self.state.connected and self.state.should_continue and not self.state.undecided:
            self.state.on_call_opened()
            self.waiting, self.calls = [], [*self.calls, []]
            self.reply(status=pb.StreamStatus(credits=3))

    def step(self) -> None:
        self.now += 0.01
        step = self.state.step(self.now)
        if isinstance(step, Frame):
            self.waiting.append(step.frame_id)
            self.calls[-1].append(step.frame_id)
        elif step == "pull" and self.left == 0:
            self.state.source_ended = True
        elif step == "pull":
            self.left, self.pulled = self.left - 1, self.pulled + 1
            self.state.add(Frame(self.pulled, b""))

    def answer(self) -> None:
        if self.state.connected and self.waiting:
            self.order.append(self.waiting.pop(0))
            self.reply(answer=pb.FrameAnswer(frame_id=self.order[-1]))

    def lose(self) -> None:
        self.waiting = []
        assert 0.5 <= self.state.on_call_lost(LOST) <= 30

    def drain(self) -> None:
        if self.state.connected:
            self.reply(draining=pb.Draining(resume_token=b"token"))

    def end(self) -> None:
        if self.state.connected and self.state.all_sent:
            assert not self.waiting or self.state.source_ended
            while self.waiting:
                self.answer()
            self.state.on_call_ended()

    def reply(self, **kind: Any) -> None:
        self.state.read(pb.ClassifyStreamResponse(**kind), self.now)


def play(policy: str, in_flight: int, frames: int, events: list[str], calm: bool) -> World:
    """The events, then (when `calm`) a service that stays until all is answered."""
    world = World(policy, in_flight, frames)
    world.open()
    for event in events:
        getattr(world, event)()
    for _ in range(20 * frames + 50 if calm else 0):
        world.now += 1.0
        for event in ("open", "step", "answer", "end"):
            getattr(world, event)()
    return world


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(1, 5), st.integers(0, 8))
def test_a_blocking_stream_answers_every_frame_in_order(events: list[str], in_flight: int, frames: int) -> None:
    world = play("block", in_flight, frames, events, calm=True)
    assert world.left == 0 and world.state.source_ended and not world.state.should_continue
    assert sorted(set(world.order)) == list(range(1, frames + 1))
    for sent in world.calls:  # ids must increase within a call
        assert sent == sorted(set(sent))
    firsts = [id for place, id in enumerate(world.order) if id not in world.order[:place]]
    assert firsts == sorted(firsts)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(1, 5), st.integers(0, 8))
def test_at_most_the_window_is_unanswered_or_kept(events: list[str], in_flight: int, frames: int) -> None:
    world = World("block", in_flight, frames)
    world.open()
    for event in events:
        getattr(world, event)()
        assert len(world.waiting) <= in_flight
        assert world.pulled <= len(set(world.order)) + in_flight + 1  # what is neither answered nor in the source


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(0, 8))
def test_a_live_stream_sends_no_frame_twice_and_counts_what_is_lost(events: list[str], frames: int) -> None:
    world = play("latest", 8, frames, events, calm=True)
    sent = [id for call in world.calls for id in call]
    assert sent == sorted(set(sent))
    counts = world.state.statistics
    assert len(sent) == counts.sent
    assert counts.answers + counts.dropped["disconnect"] == world.pulled == frames
    assert world.order == sorted(set(world.order))


@given(EVENTS)
def test_a_drained_call_leaves_nothing_unanswered(events: list[str]) -> None:
    """Draining, then the end: all is answered, and the next call opens with the token."""
    world = play("block", 3, 8, events, calm=False)
    world.drain()
    while world.state.connected and not world.state.all_sent:
        assert world.state.step(world.now) in ("pull", math.inf)
        world.answer()
    if world.state.connected:
        assert not world.waiting
        world.end()
        assert world.state.resume_token == b"token"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (grpc.StatusCode.ABORTED, "session taken over"),
        (grpc.StatusCode.FAILED_PRECONDITION, "moved to another server"),
        (grpc.StatusCode.INVALID_ARGUMENT, "no such strategy"),
        (grpc.StatusCode.INTERNAL, "the server failed"),
    ],
)
def test_these_errors_are_final(code: grpc.StatusCode, sentence: str) -> None:
    world = play("latest", 8, 3, ["step", "step"], calm=False)
    with pytest.raises(TTAClientError, match=sentence):
        world.state.on_call_lost(TTAClientError(code, sentence))


@pytest.mark.parametrize(
    "error",
    [
        TTAClientError(grpc.StatusCode.CANCELLED, "Received RST_STREAM with error code 8"),
        TTAClientError(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        TTAClientError(grpc.StatusCode.UNKNOWN, "Stream removed"),
        TTAClientError(grpc.StatusCode.DEADLINE_EXCEEDED, "of registering labels"),
    ],
)
def test_these_errors_are_retried(error: TTAClientError) -> None:
    assert play("latest", 8, 3, ["step", "step"], calm=False).state.on_call_lost(error) > 0


def test_a_retry_after_of_the_service_is_obeyed() -> None:
    full = TTAClientError(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back later", retry_after=45.0)
    assert play("latest", 8, 3, [], calm=False).state.on_call_lost(full) == 45.0


def test_the_watchdog_runs_only_while_the_service_owes_a_reply() -> None:
    state = StreamState("block", reconnect=Reconnect(stall=5.0))
    state.reconnect.listen(100.0)
    assert state.seconds_left(102.0) == 3.0  # the opening
    state.on_call_opened()
    assert state.seconds_left(1000.0) == math.inf  # an idle camera owes nothing, so neither does the service
    state.add(Frame(1, b""))
    assert isinstance(state.step(1000.0), Frame)
    assert state.seconds_left(1002.0) == 3.0
    state.reconnect.listen(None)  # the reader is busy with an answer
    assert state.seconds_left(2000.0) == math.inf


def answer_own_labels(state: StreamState, number: int, gone: bool) -> Any:
    """The result of a frame with labels of its own, which the server has or not."""
    state.add(Frame(number, b"", labels=("a",)))
    assert isinstance(state.step(10.0 * number), Frame)
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="frame.labels.id: no such label set")
    failed, answered = pb.FrameError(frame_id=number, status=status), pb.FrameAnswer(frame_id=number)
    kind = {"error": failed} if gone else {"answer": answered}
    return state.read(pb.ClassifyStreamResponse(**kind), 10.0 * number)


def test_a_live_stream_reconnects_for_missing_labels_once_until_they_are_known() -> None:
    state = StreamState("latest", reconnect=Reconnect())
    state.on_call_opened()
    for first in (1, 4):
        with pytest.raises(TTAClientError, match="NOT_FOUND") as caught:
            answer_own_labels(state, first, gone=True)
        assert state.on_call_lost(caught.value) > 0
        state.on_call_opened()
        assert isinstance(answer_own_labels(state, first + 1, gone=True), FrameFailure)
        assert isinstance(answer_own_labels(state, first + 2, gone=False), FrameAnswer)
    assert state.statistics.dropped == {"disconnect": 2} and state.statistics.failures == 2
