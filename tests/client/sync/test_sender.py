"""The thread between source and call."""

from __future__ import annotations

import threading

import grpc
from tta_client.errors import TTAClientError
from tta_client.protocol.reconnect import Reconnect
from tta_client.protocol.stream_state import StreamState
from tta_client.sync.sender import Sender
from tta_client.types.frames import Frame
from tta_client.v1 import tta_pb2

from tests.patience import PATIENCE

OPENING = tta_pb2.ClassifyStreamRequest()


def test_a_frame_made_ready_after_its_call_had_ended_is_sent_once_and_in_its_turn():
    """Its labels are registered while the call fails: what is made of it then belongs to no call."""
    inside, go = threading.Event(), threading.Event()

    def identify(labels: object) -> str:
        inside.set()
        assert go.wait(PATIENCE)
        return "an id"

    course = StreamState("block", paced=False, reconnect=Reconnect(shortest=0.001, longest=0.002))
    feed = Sender(course, [Frame(1, b"x"), Frame(2, b"x", labels=("a", "b"))], identify)
    feed.start()
    try:
        ended = threading.Event()
        feed.on_call_opened()
        first = feed.requests(OPENING, ended)
        assert [next(first).frame.frame_id, next(first).frame.frame_id] == [0, 1]
        assert inside.wait(PATIENCE)
        feed.end(ended)
        go.set()
        with feed._changed:  # it is ready now, and the loss is not known yet
            assert feed._changed.wait_for(lambda: feed._message is not None, PATIENCE)
        assert feed.on_call_lost(TTAClientError(grpc.StatusCode.UNAVAILABLE, "gone"))
        feed.on_call_opened()
        again = feed.requests(OPENING, threading.Event())
        assert [next(again).frame.frame_id for _ in range(3)] == [0, 1, 2]
    finally:
        feed.stop()
