"""Pacing: no more unanswered frames than there is room for, never stuck, never faster than suggested."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tta_client.protocol.pacing import PROBE, QUICKEST, SLOWEST, Pacer, Window, make_pacer

from tests.client.overload import simulate_overload

CREDITS, FPS = st.integers(0, 16), st.one_of(st.just(0.0), st.floats(0.1, 200.0))


@given(st.integers(1, 32), st.integers(0, 64))
def test_a_blocking_stream_has_a_window(most: int, unanswered: int) -> None:
    window = make_pacer("block", most, True)
    assert isinstance(window, Window)
    assert window.wait(unanswered, 0.0) == (0.0 if unanswered < most else math.inf)


@given(CREDITS, FPS, st.integers(0, 100), st.booleans(), st.floats(0, 1e6))
def test_it_is_never_stuck(credits: int, fps: float, unanswered: int, refreshing: bool, now: float) -> None:
    """Whatever the service reports, one frame is sent after a bounded time: the others may have been dropped."""
    pacer = Pacer(refreshing)
    pacer.update_credits(credits, fps, now)
    pacer.record_sent(0, now)
    wait = pacer.wait(unanswered, now)
    assert 0 <= wait <= max(PROBE, 1 / fps if fps else 0) + 1e-6
    assert pacer.wait(unanswered, now + wait + 1e-6) == 0


@given(CREDITS, st.lists(st.tuples(st.floats(0.0, 0.5), st.integers(0, 3)), max_size=200))
def test_no_more_is_unanswered_than_there_is_room_for(credits: int, events: list[tuple[float, int]]) -> None:
    """What is sent beyond the room goes once a second, as a probe."""
    pacer, now, unanswered, probes = Pacer(refreshing=False), 0.0, 0, 0
    pacer.update_credits(credits, 0.0, now)
    for passed, answered in events:
        now += passed
        if answered and unanswered:
            unanswered = max(0, unanswered - answered)
            pacer.record_answer(now)
        if pacer.wait(unanswered, now) == 0:
            probes += unanswered >= max(1, credits)
            pacer.record_sent(unanswered, now)
            unanswered += 1
    assert probes <= now / PROBE
    assert unanswered <= max(1, credits) + probes


@given(st.floats(1.0, 100.0), st.integers(1, 16))
def test_the_suggested_rate_is_kept_while_it_is_fresh(fps: float, credits: int) -> None:
    pacer, now, sent = Pacer(refreshing=True), 0.0, 0
    for _ in range(2000):
        pacer.update_credits(credits, fps, now)  # the service keeps saying it
        if pacer.wait(0, now) == 0:  # and answers at once
            pacer.record_sent(0, now)
            sent += 1
        now += 0.001
    assert 2.0 * fps * 0.9 - 1 <= sent <= 2.0 * fps + 1


def test_an_old_suggestion_expires() -> None:
    pacer = Pacer(refreshing=True)
    pacer.update_credits(1, 0.5, now=0.0)
    pacer.record_sent(0, 0.0)
    assert pacer.wait(0, 1.0) == 1.0  # two seconds apart
    pacer.record_sent(0, 7.9)
    assert pacer.wait(0, 8.1) == 0  # the suggestion is eight seconds old


@pytest.mark.parametrize(("interval", "again"), [(0.001, QUICKEST), (0.4, 0.1), (5.0, SLOWEST)])
def test_a_frame_that_waits_in_the_service_is_replaced_while_answers_are_slow(interval: float, again: float) -> None:
    pacer, now = Pacer(refreshing=True), 0.0
    for _ in range(60):
        now += interval
        pacer.record_answer(now)
    pacer.record_sent(1, now)
    assert pacer.wait(1, now) == pytest.approx(again, rel=0.01)


class Strict(Pacer):
    """What credits alone would say: one frame under way, and wait for its answer."""

    def wait(self, unanswered: int, now: float) -> float:
        return 0.0 if not unanswered else 1.0


@pytest.mark.parametrize(("cameras", "service"), [(1, 0.2), (4, 0.05), (16, 0.02), (16, 0.1)])
def test_answers_stay_fresh_at_every_overload(cameras: int, service: float) -> None:
    """As many answers as when everything is sent, hardly older, for a part of the frames; waiting for each answer would
    let the frames grow old in the queue."""
    flood, paced, strict = (
        simulate_overload(cameras, service, make)
        for make in (lambda: Window(math.inf), lambda: Pacer(True), lambda: Strict(True))
    )
    assert paced.answers >= 0.98 * flood.answers
    assert paced.age(0.95) <= flood.age(0.95) + min(SLOWEST, cameras * service / 4) + 0.02
    assert paced.sent < 0.7 * flood.sent
    assert cameras == 1 or paced.age(0.95) < 0.6 * strict.age(0.95)


def test_a_long_round_trip_does_not_slow_a_camera_down() -> None:
    """50 ms each way and 20 ms of work: the next frame is on its way before the last answer has come."""
    paced, strict = (simulate_overload(1, 0.02, make, way=0.05) for make in (lambda: Pacer(True), lambda: Strict(True)))
    assert paced.answers > 2 * strict.answers


def test_a_new_call_begins_without_credits() -> None:
    pacer = Pacer(refreshing=False)
    pacer.update_credits(8, 1000.0, 0.0)
    pacer.reset()
    pacer.record_sent(0, 0.0)
    assert pacer.wait(0, 0.0) == 0 and pacer.wait(1, 0.0) > 0
