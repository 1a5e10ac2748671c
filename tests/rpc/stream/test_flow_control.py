"""What is news to a camera about how much it may send."""

from __future__ import annotations

import pytest

from tta_service.rpc.stream.flow_control import StreamCredits


def test_the_first_word_tells_the_room_and_no_rate():
    assert StreamCredits(3, 2).update(waiting=1) == (2, 0.0)
    assert StreamCredits(1, 1).update(waiting=5) == (0, 0.0)


def test_what_was_told_is_not_told_again():
    allowance = StreamCredits(3, 2)
    assert allowance.update(0) == (3, 0.0)
    assert allowance.update(0) is None
    assert allowance.update(2) == (1, 0.0)
    allowance.add_answer(0.5)
    assert allowance.update(2) == (1, 4.0)  # two at once, half a second each
    assert allowance.update(2) is None


def test_a_rate_is_news_when_it_has_changed_by_a_tenth():
    allowance = StreamCredits(1, 1)
    allowance.add_answer(1.0)
    assert allowance.update(0) == (1, 1.0)
    allowance.add_answer(1.4)  # 0.95 a second
    assert allowance.update(0) is None
    allowance.add_answer(1.8)  # since it was told, by 0.13
    credits, fps = allowance.update(0) or pytest.fail("nothing was told")
    assert credits == 1 and fps == pytest.approx(1 / 1.14375)
    for _ in range(40):
        allowance.add_answer(0.1)
    assert (allowance.update(0) or (0, 0.0))[1] > 5


def test_a_steady_camera_hears_nothing_more():
    allowance, told = StreamCredits(1, 1), 0
    for number in range(200):
        allowance.add_answer(1.0 + 0.3 * (number % 2))
        told += allowance.update(0) is not None
    assert told <= 3
