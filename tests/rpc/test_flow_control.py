"""When a stream sends new credits, and which; and how fast it is read."""

from __future__ import annotations

import pytest

from tta_service.methods.flow_control import BAD, LONGEST, MOST_BAD, ReadingPace, StreamCredits


def test_the_first_update_has_credits_and_no_rate():
    assert StreamCredits(3).update(waiting=1) == (2, 0.0)
    assert StreamCredits(1).update(waiting=5) == (0, 0.0)


def test_equal_credits_are_not_sent_again():
    credits = StreamCredits(3)
    assert credits.update(0) == (3, 0.0)
    assert credits.update(0) is None
    assert credits.update(2) == (1, 0.0)
    credits.add_answer(0.5, at_once=2)
    assert credits.update(2) == (1, 4.0)  # two at once, half a second each
    assert credits.update(2) is None


def test_a_rate_is_sent_again_when_it_has_changed_by_a_tenth():
    credits = StreamCredits(1)
    credits.add_answer(1.0)
    assert credits.update(0) == (1, 1.0)
    credits.add_answer(1.4)  # 0.95 a second
    assert credits.update(0) is None
    credits.add_answer(1.8)  # 0.13 below the rate that was sent
    count, fps = credits.update(0) or pytest.fail("no update")
    assert count == 1 and fps == pytest.approx(1 / 1.14375)
    for _ in range(40):
        credits.add_answer(0.1)
    assert (credits.update(0) or (0, 0.0))[1] > 5


def test_a_steady_rate_is_not_sent_again():
    credits, updates = StreamCredits(1), 0
    for number in range(200):
        credits.add_answer(1.0 + 0.3 * (number % 2))
        updates += credits.update(0) is not None
    assert updates <= 3


def test_the_more_bad_pictures_come_in_a_row_the_slower_a_stream_is_read():
    pace, waits = ReadingPace(0.0), list[float]()
    for _ in range(30):
        waits.append(pace.delay(0.0))
        pace.add(bad=True)
    assert waits[: BAD + 1] == [0.0] * (BAD + 1) and waits[-1] == LONGEST
    assert all(0 < before <= after for before, after in zip(waits[BAD + 1 :], waits[BAD + 2 :], strict=False))
    for _ in range(10_000):
        pace.add(bad=True)
    assert pace.delay(0.0) == LONGEST
    for _ in range(MOST_BAD - BAD):
        assert pace.delay(0.0) > 0 and pace.add(bad=False)
    assert pace.delay(0.0) == 0.0
    assert not [pace.add(bad=False) for _ in range(BAD)][-1]


def test_frames_above_the_rate_wait_and_bad_pictures_no_less():
    pace = ReadingPace(4.0)
    assert [pace.delay(0.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    for _ in range(100):
        pace.add(bad=True)
    assert pace.delay(0.0) == LONGEST and pace.delay(-10.0) > LONGEST
