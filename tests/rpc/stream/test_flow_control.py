"""What is news to a camera about how much it may send."""

from __future__ import annotations

import pytest

from tta_service.rpc.stream.flow_control import Allowance


def test_the_first_word_tells_the_room_and_no_rate():
    assert Allowance(3, 2).news(waiting=1) == (2, 0.0)
    assert Allowance(1, 1).news(waiting=5) == (0, 0.0)


def test_what_was_told_is_not_told_again():
    allowance = Allowance(3, 2)
    assert allowance.news(0) == (3, 0.0)
    assert allowance.news(0) is None
    assert allowance.news(2) == (1, 0.0)
    allowance.answered(0.5)
    assert allowance.news(2) == (1, 4.0)  # two at once, half a second each
    assert allowance.news(2) is None


def test_a_rate_is_news_when_it_has_changed_by_a_tenth():
    allowance = Allowance(1, 1)
    allowance.answered(1.0)
    assert allowance.news(0) == (1, 1.0)
    allowance.answered(1.4)  # 0.95 a second
    assert allowance.news(0) is None
    allowance.answered(1.8)  # since it was told, by 0.13
    credits, fps = allowance.news(0) or pytest.fail("nothing was told")
    assert credits == 1 and fps == pytest.approx(1 / 1.14375)
    for _ in range(40):
        allowance.answered(0.1)
    assert (allowance.news(0) or (0, 0.0))[1] > 5


def test_a_steady_camera_hears_nothing_more():
    allowance, told = Allowance(1, 1), 0
    for number in range(200):
        allowance.answered(1.0 + 0.3 * (number % 2))
        told += allowance.news(0) is not None
    assert told <= 3
