"""A camera goes on when its service dies and comes back, with the memory that the service had written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tta_client import Choice, Client, Frame, FrameAnswer, Reconnect, Statistics

from tests.client.camera.clips import jpeg
from tests.client.services import run_service, start_process

pytestmark = pytest.mark.slow
NAMES = ("flower", "temple", "cat")
BEFORE, AFTER = 6, 5  # frames
SETTINGS = {"sessions__secret": "a secret for tests", "sessions__write_frames": 1, "lanes__cores": 1}


def picture(number: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return jpeg(coarse.repeat(12, 0).repeat(12, 1))


def answers_of(address: str, frames: Iterator[Frame], statistics: Statistics) -> Iterator[FrameAnswer]:
    quickly = Reconnect(shortest=0.05, longest=0.2)
    tda = Choice("tda", {"views": 2})
    with Client(address) as client:
        stream = client.stream(
            frames, NAMES, tda, session="door", in_flight=1, reconnect=quickly, statistics=statistics
        )
        for result in stream:
            assert isinstance(result, FrameAnswer), result
            yield result


def test_a_killed_service_is_connected_to_again_and_has_its_memory(tmp_path: Path) -> None:
    statistics, gone = Statistics(), threading.Event()
    port = 0

    def camera() -> Iterator[Frame]:
        for number in range(1, BEFORE + AFTER + 1):
            if number == BEFORE + 1:
                assert gone.wait(300)
            yield Frame(number, picture(number))

    def serve_again() -> None:
        with run_service(server__port=port, sessions__store=str(tmp_path), **SETTINGS):
            finished.wait(300)

    finished = threading.Event()
    with start_process(sessions__store=str(tmp_path), **SETTINGS) as (server, address):
        port = int(address.rpartition(":")[2])
        answers = answers_of(address, camera(), statistics)
        received = [next(answers) for _ in range(BEFORE)]
        while not list(tmp_path.glob("*.session")):
            assert server.poll() is None
            threading.Event().wait(0.02)
        server.send_signal(signal.SIGKILL)
        server.wait(300)
    gone.set()
    again = threading.Thread(target=serve_again)
    again.start()
    try:
        received += answers
    finally:
        finished.set()
        again.join(300)
    assert [a.frame_id for a in received] == list(range(1, BEFORE + AFTER + 1))
    assert [a.answer.session.frames for a in received[:BEFORE]] == list(range(1, BEFORE + 1))
    frames = [a.answer.session.frames for a in received[BEFORE:]]
    assert 2 <= frames[0] <= BEFORE + 1  # those written before it died, and this one
    assert frames == list(range(frames[0], frames[0] + AFTER))
    assert not any(a.answer.session.memory_reset for a in received[BEFORE:])
    assert statistics.reconnects == {"service": 1} and statistics.answers == BEFORE + AFTER


def test_a_service_that_is_stopped_loses_nothing(tmp_path: Path) -> None:
    """The stream is drained: it ends when every frame is answered, and opens again with its resume token."""
    statistics, stopped = Statistics(), threading.Event()
    leaving, port = threading.Event(), 0

    def camera() -> Iterator[Frame]:
        for number in range(1, BEFORE + AFTER + 1):
            if number == BEFORE + 1:
                leaving.set()
                assert stopped.wait(300)
            yield Frame(number, picture(number))

    received: list[FrameAnswer] = []
    finished = threading.Event()
    with run_service(sessions__store=str(tmp_path), server__drain=30.0, **SETTINGS) as address:
        port = int(address.rpartition(":")[2])
        watching = threading.Thread(target=lambda: received.extend(answers_of(address, camera(), statistics)))
        watching.start()
        assert leaving.wait(300)
    stopped.set()
    with run_service(server__port=port, sessions__store=str(tmp_path), **SETTINGS):
        watching.join(300)
        finished.set()
    assert [a.frame_id for a in received] == list(range(1, BEFORE + AFTER + 1))
    assert [a.answer.session.frames for a in received] == list(range(1, BEFORE + AFTER + 1))
    assert statistics.reconnects == {"service": 1} and statistics.sent == BEFORE + AFTER
