"""Which events a camera's answers, losses and returns make."""

from __future__ import annotations

import pytest
from tta_client.camera.events import Event, EventDetector
from tta_client.errors import make_refusal
from tta_client.types.answers import FrameFailure

from tests.client.camera.results import make_answer


def kinds(detector: EventDetector, *steps: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """What each step (label, decision or stable label) makes: kind, state and the state before."""
    found = list[Event]()
    for number, (word, *rest) in enumerate(steps, 1):
        if word == "lost":
            found += detector.on_loss(rest[0], "it is gone")
        elif word == "back":
            found += detector.on_return(rest[0])
        else:
            stable = rest[1] if len(rest) > 1 else ""
            found += detector.on_result(make_answer(word, rest[0] if rest else "answer", frame=number, stable=stable))
    return [(event.event, event.state, event.previous) for event in found]


def test_a_label_that_changes_is_one_event() -> None:
    assert kinds(EventDetector("gate"), ("cat",), ("cat",), ("dog",), ("dog",)) == [
        ("changed", "cat", ""),
        ("changed", "dog", "cat"),
    ]


def test_a_deferred_frame_ends_the_state_and_the_next_answer_begins_one() -> None:
    steps = ("cat",), ("dog", "defer"), ("cat", "defer"), ("cat", "none_of_these"), ("cat",)
    assert kinds(EventDetector("gate"), *steps) == [
        ("changed", "cat", ""),
        ("deferred", "", "cat"),
        ("none_of_these", "", ""),
        ("changed", "cat", ""),
    ]


def test_with_smoothing_the_stable_label_is_the_state_and_a_deferred_frame_leaves_it() -> None:
    steps = ("dog", "answer", ""), ("dog", "answer", "dog"), ("cat", "defer", "dog"), ("cat", "answer", "")
    assert kinds(EventDetector("gate", smoothed=True), *steps) == [
        ("changed", "dog", ""),
        ("deferred", "dog", "dog"),
        ("changed", "", "dog"),
    ]


def test_a_loss_is_told_once_and_answers_on_their_way_are_passed_over() -> None:
    steps = (
        ("cat",),
        ("lost", "source"),
        ("lost", "source"),
        ("dog",),
        ("back", "source"),
        ("cat",),
        ("back", "service"),
    )
    assert kinds(EventDetector("gate"), *steps) == [
        ("changed", "cat", ""),
        ("lost", "", "cat"),
        ("back", "", ""),
        ("changed", "cat", ""),
    ]


def test_an_event_says_which_frame_of_which_camera_it_is_about_and_no_secret() -> None:
    detector = EventDetector("gate", "door")
    (event,) = detector.on_result(make_answer("cat", frame=7))
    assert (event.camera, event.session, event.frame, event.example) == ("gate", "door", 7, "e-7")
    assert (event.time, event.confidence, event.zero_shot) == ("2023-11-14T22:13:20.000Z", 0.8, "zero")
    (lost,) = detector.on_loss("source", "rtsp://me:secret@gate/1: no route")
    assert lost.reason == "source: rtsp://***@gate/1: no route" and lost.id != event.id and lost.frame is None


def test_a_frame_that_fails_is_no_event() -> None:
    assert EventDetector("gate").on_result(FrameFailure(1, make_refusal("bad", "image"), 0.1)) == []


@pytest.mark.parametrize("smoothed", [False, True])
def test_an_older_server_tells_no_confidence(smoothed: bool) -> None:
    from dataclasses import replace

    result = make_answer("cat")
    result = replace(result, answer=replace(result.answer, confidence=None))
    assert [event.confidence for event in EventDetector("gate", smoothed=smoothed).on_result(result)] == (
        [] if smoothed else [0.8]
    )
