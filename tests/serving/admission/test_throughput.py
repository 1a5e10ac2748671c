from __future__ import annotations

import pytest

from tta_service.serving.admission.throughput import Throughput


def test_nothing_is_known_at_first():
    rate = Throughput()
    assert rate.per_second is None and rate.seconds_for(8, unknown=3.0) == 3.0
    rate.add(4, 0.0)
    assert rate.per_second is None  # no time has passed


def test_a_steady_rate_is_found_and_a_new_one_learnt():
    rate = Throughput(memory=10)
    for _ in range(20):
        rate.add(8, 0.5)
    assert rate.per_second == pytest.approx(16)
    assert rate.seconds_for(32, unknown=0) == pytest.approx(2)
    for _ in range(100):
        rate.add(8, 1.0)
    assert rate.per_second == pytest.approx(8, rel=0.01)
