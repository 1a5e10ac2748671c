"""Sending: every frame ends in an answer, a failure, or the end of the stream, whatever happens before it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tta_client import Frame, FrameFailure, Options, Reconnect, Statistics, TTAClientError
from tta_client.protocol.stream_state import StreamState
from tta_client.sync.sender import Sender
from tta_client.types.limits import Limits
from tta_client.v1 import tta_pb2 as pb

from tests.client.peer import Peer, make_status, refuse, serve_peer
from tests.client.protocol.test_reconnect import Watch, both
from tests.patience import PATIENCE

OPENING = pb.ClassifyStreamRequest()


def test_a_message_made_after_its_call_ended_is_sent_once_and_in_order():
    """Its labels are registered while the call fails, so its message belongs to no call."""
    inside, go, ready = threading.Event(), threading.Event(), threading.Event()

    def identify(labels: object) -> str:
        inside.set()
        assert go.wait(PATIENCE)
        return "an id"

    class NotedLimits(Limits):
        def check_message(self, message: Any, path: str) -> None:
            if message.frame.labels.id:
                ready.set()

    state = StreamState("block", paced=False, reconnect=Reconnect(shortest=0.001, longest=0.002))
    sender = Sender(state, [Frame(1, b"x"), Frame(2, b"x", labels=("a", "b"))], identify, NotedLimits)
    sender.start(lambda: None)
    try:
        service = Service()
        call = sender.start_call(service.place, OPENING)
        sender.on_call_opened()
        assert [service.read(), service.read()] == [0, 1]
        assert inside.wait(PATIENCE)
        call.close()
        go.set()
        assert ready.wait(PATIENCE)
        time.sleep(0.05)  # the message is made now, and the loss is not known yet; the outcome holds in any order
        assert sender.on_call_lost(TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone"))
        again = Service()
        sender.start_call(again.place, OPENING)
        sender.on_call_opened()
        assert [again.read() for _ in range(3)] == [0, 1, 2]
    finally:
        sender.stop()


class Service:
    """One call as gRPC sees it: it reads the messages, and never replies until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def place(self, messages: Iterator[pb.ClassifyStreamRequest]) -> Service:
        self.messages = messages
        return self

    def read(self) -> int:
        return next(self.messages).frame.frame_id

    def cancel(self) -> None:
        self.cancelled.set()

    def __iter__(self) -> Service:
        return self

    def __next__(self) -> Any:
        self.cancelled.wait()
        raise StopIteration


# ---- streams of both clients

OWN = ("a", "b")


class Busy(Peer):
    """Refuses to register the labels of a frame so many times."""

    def __init__(self, times: int, code: grpc.StatusCode, after: float | None) -> None:
        super().__init__()
        self.times, self.code, self.after = times, code, after

    def PutLabelSet(self, request: pb.PutLabelSetRequest, context: Any) -> pb.PutLabelSetResponse:
        if tuple(request.label_set.names) == OWN and self.times > 0:
            self.times -= 1
            refuse(context, make_status(self.code, "label_set: come back later", "label_set", self.after))
        return super().PutLabelSet(request, context)


FRAMES = [Frame(1, b"x"), Frame(2, b"x", labels=OWN), Frame(3, b"x")]


@both
def test_a_service_that_cannot_register_labels_now_is_connected_to_again(watch: Watch) -> None:
    with serve_peer(Busy(2, grpc.StatusCode.RESOURCE_EXHAUSTED, 0.01)) as at:
        statistics = Statistics()
        results = watch(at, FRAMES, statistics)
        assert [r.frame_id for r in results] == [1, 2, 3] and not statistics.failures
        assert statistics.reconnects == {"service": 2}
    busy = Busy(1, grpc.StatusCode.RESOURCE_EXHAUSTED, 0.01)
    with serve_peer(busy) as at, pytest.raises(TTAClientError, match="come back later"):
        watch(at, FRAMES, Statistics(), reconnect=None)


@both
def test_a_service_that_will_not_register_labels_fails_their_frame(watch: Watch) -> None:
    with serve_peer(Busy(9, grpc.StatusCode.PERMISSION_DENIED, None)) as at:
        results = watch(at, FRAMES, Statistics())
    assert [(r.frame_id, isinstance(r, FrameFailure)) for r in results] == [(1, False), (2, True), (3, False)]
    error = results[1].error
    assert (error.code, error.field) == (grpc.StatusCode.PERMISSION_DENIED, "frame.labels.label_set")
    assert error.sentence == "frame.labels.label_set: come back later"


@both
def test_a_source_that_has_failed_does_not_keep_the_others_from_being_sent_again(
    address: str, peer: Peer, watch: Watch
) -> None:
    peer.troubles, statistics = [grpc.StatusCode.UNAVAILABLE] * 2, Statistics()

    def camera() -> Iterator[Any]:
        yield from (b"x", b"trouble", None, b"trouble", b"xx")
        raise OSError("the cable is out")

    with pytest.raises(OSError, match="the cable is out"):
        watch(address, camera(), statistics)
    assert (statistics.answers, statistics.failures, statistics.reconnects) == (4, 1, {"service": 2})


@both
@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), SystemExit(1)], ids=repr)
def test_a_fault_of_the_client_ends_the_stream_with_it(
    address: str, watch: Watch, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    step, steps = StreamState.step, 0

    def faulty(self: StreamState, now: float) -> Any:
        nonlocal steps
        if self.connected:
            steps += 1
            if steps == at:
                raise error
        return step(self, now)

    monkeypatch.setattr(StreamState, "step", faulty)
    with pytest.raises(type(error)) as caught:
        watch(address, [b"x"] * 9, Statistics())
    assert caught.value is error


@both
def test_the_rest_of_a_stream_follows_a_draining_service(address: str, peer: Peer, watch: Watch) -> None:
    bad = Frame(-1, b"x")
    results = watch(address, [b"x", b"leave", bad, bad, b"xx", bad, b"leave", bad], Statistics(), in_flight=1)
    assert [r.frame_id for r in results] == [1, 2, -1, -1, 3, -1, 4, -1]


@both
def test_a_silent_service_is_given_up_however_many_frames_fail_meanwhile(
    address: str, peer: Peer, watch: Watch
) -> None:
    statistics = Statistics()

    def camera() -> Iterator[Any]:
        yield b"hush"
        while not statistics.reconnects:
            yield None

    impatient = Reconnect(shortest=0.01, longest=0.05, stall=0.5)
    for policy in ("drop_oldest", "latest"):
        peer.hushes, statistics = 1, Statistics()
        results = watch(address, camera(), statistics, policy=policy, reconnect=impatient, paced=False)
        assert statistics.reconnects == {"service": 1} and statistics.dropped["disconnect"] >= 1
        assert all(isinstance(r, FrameFailure) for r in results)


@both
def test_a_wrong_opening_is_refused_at_once(address: str, peer: Peer, watch: Watch) -> None:
    for how, field in (
        ({"options": Options(seed=-1)}, "open.options.seed"),
        ({"buffer": -1}, "open.buffer"),
        ({"session": "Tür"}, "session_id"),
    ):
        with pytest.raises(TTAClientError) as caught:
            watch(address, [b"x"], Statistics(), **how)
        assert caught.value.field == field
    assert not peer.opened
