"""Pauses between attempts: within their bounds, growing, never in step with another camera's."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from tta_client.protocol.reconnect import Backoff


@given(st.floats(0.01, 1.0), st.floats(1.0, 60.0), st.integers(0, 2**32))
def test_every_pause_is_within_its_bounds(shortest: float, longest: float, seed: int) -> None:
    backoff, before = Backoff(shortest, longest, random.Random(seed)), shortest
    for _ in range(30):
        pause = backoff.pause()
        assert shortest <= pause <= min(longest, 3 * before) + 1e-9
        before = pause
    backoff.reset()
    assert backoff.pause() <= 3 * shortest


def test_pauses_grow_and_two_cameras_differ() -> None:
    one, two = ([b.pause() for _ in range(40)] for b in (Backoff(rng=random.Random(seed)) for seed in (1, 2)))
    assert one[0] != two[0] and max(one + two) == 30.0
    assert sum(one[:3]) < sum(one[-3:])
