"""Streams on the wire: order, in-band failures, forgotten labels, the end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from tta_client import Client, Frame, FrameAnswer, FrameFailure, Options, TTAClientError

from tests.client.peer import Peer
from tests.patience import until

NAMES = ("cat", "dog", "bird")


def test_answers_and_failures_come_in_the_order_of_the_frames(client: Client) -> None:
    results = list(client.stream([b"x", b"bad", b"xx", b"bad", b"xxx"], NAMES))
    assert [r.frame_id for r in results] == [1, 2, 3, 4, 5]
    assert [type(r) for r in results] == [FrameAnswer, FrameFailure, FrameAnswer, FrameFailure, FrameAnswer]
    failure = results[1]
    assert isinstance(failure, FrameFailure)
    assert failure.error.code is grpc.StatusCode.INVALID_ARGUMENT and failure.error.field == "image"


def test_each_frame_may_have_its_own_options_and_labels(client: Client, peer: Peer) -> None:
    frames = [Frame(3, b"x"), Frame(5, b"x", options=Options("tda")), Frame(9, b"x", labels=["a", "b"], scene="door")]
    results = list(client.stream(frames, NAMES, "mta"))
    answers = [r.answer for r in results if isinstance(r, FrameAnswer)]
    assert [(a.strategy.name, a.label) for a in answers] == [("mta", "dog"), ("tda", "dog"), ("mta", "b")]
    assert results[-1].scene == "door"


def test_age_is_measured_here_and_the_capture_time_comes_back(client: Client) -> None:
    frame = Frame(1, b"x", captured=time.monotonic() - 100, wall_ns=1_234_567_890_123_456_789)
    (result,) = client.stream([frame], NAMES)
    assert isinstance(result, FrameAnswer)
    assert result.captured_ns == 1_234_567_890_123_456_789 and result.age >= 100


def test_a_stream_registers_forgotten_labels_and_loses_no_frame(client: Client, peer: Peer) -> None:
    client.put_labels(NAMES)
    peer.forget()
    assert [r.frame_id for r in client.stream(iter([b"x", b"xx", b"xxx"]), NAMES)] == [1, 2, 3]
    assert peer.puts == 2 and len(peer.opened) == 2


def test_at_most_in_flight_frames_are_unanswered(client: Client, peer: Peer) -> None:
    taken: list[int] = []

    def frames() -> Iterator[bytes]:
        for number in range(20):
            taken.append(number)
            yield b"x"

    answered = 0
    for _ in client.stream(frames(), NAMES, in_flight=3):
        assert len(taken) <= answered + 1 + 3
        answered += 1
    assert answered == 20


def test_frames_that_the_service_drops_do_not_stop_a_camera(client: Client) -> None:
    pictures = [b"x", *[b"drop"] * 40, b"xx"]
    assert [r.frame_id for r in client.stream(pictures, NAMES, policy="latest", paced=False)] == [1, 42]


def test_what_the_source_raises_comes_after_the_answers(client: Client) -> None:
    def frames() -> Iterator[bytes]:
        yield b"x"
        yield b"xx"
        raise OSError("the cable is out")

    results = []
    with pytest.raises(OSError, match="the cable is out"):
        results.extend(iter_into(results, client.stream(frames(), NAMES)))
    assert [r.frame_id for r in results] == [1, 2]


def test_the_status_that_ends_a_stream_is_raised(client: Client) -> None:
    results: list[object] = []
    with pytest.raises(TTAClientError, match="session taken over") as caught:
        iter_into(results, client.stream([b"x", b"end", b"x"], NAMES))
    assert caught.value.code is grpc.StatusCode.ABORTED and len(results) == 1


def test_closing_a_stream_closes_its_source(client: Client) -> None:
    closed: list[bool] = []

    def frames() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    with client.stream(frames(), NAMES) as stream:
        assert next(iter(stream)).frame_id == 1
        assert stream.session is not None
    until(lambda: closed)


def test_an_unknown_policy_is_refused_before_anything_is_sent(client: Client, peer: Peer) -> None:
    with pytest.raises(ValueError, match="sometimes"):
        list(client.stream([b"x"], NAMES, policy="sometimes"))  # type: ignore[arg-type]
    assert not peer.opened


def iter_into(results: list, stream: object) -> list:
    for result in stream:  # type: ignore[attr-defined]
        results.append(result)  # noqa: PERF402 - what came before the error counts
    return []


def test_a_draining_service_gives_a_token_that_resumes_the_stream(client: Client, peer: Peer) -> None:
    stream = client.stream([b"x", b"leave"], NAMES, session="door")
    assert stream.resume_token == b""
    assert [result.frame_id for result in stream] == [1, 2]
    assert stream.resume_token == b"go on"
    assert len(list(client.stream([b"x"], NAMES, resume_token=stream.resume_token))) == 1
    assert [opened.resume_token for opened in peer.opened] == [b"", b"go on"]
