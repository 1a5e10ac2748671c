"""Bursts pass; a sender above the rate is delayed."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tta_service.serving.streams import RateLimiter


def test_an_even_rate_has_no_delay():
    limiter = RateLimiter(30.0)
    assert all(limiter.delay(number / 30) == 0 for number in range(1000))


def test_a_burst_passes_and_what_follows_is_delayed():
    limiter = RateLimiter(20.0, burst=0.5)
    assert all(limiter.delay(7.0) < 1e-9 for _ in range(10))
    assert limiter.delay(7.0) > 0.04
    assert limiter.delay(100.0) == 0  # long enough later


def test_a_rate_of_zero_is_no_limit():
    limiter = RateLimiter(0.0)
    assert not any(limiter.delay(0.0) for _ in range(1000))


@given(st.floats(1, 1000), st.floats(0, 2), st.integers(0, 99))
def test_a_caller_that_waits_stays_below_the_rate(rate: float, burst: float, seed: int):
    chance, limiter, now = random.Random(seed), RateLimiter(rate, burst), 5.0
    came = []
    for _ in range(300):
        now += chance.choice([0.0, 0.0, chance.random() * 2 / rate])
        came.append(now)
        now += limiter.delay(now)
    for first in range(0, 300, 7):
        for last in range(first, 300, 11):
            assert last - first + 1 <= rate * (came[last] - came[first] + burst) + 2
