from __future__ import annotations

import pytest

from tta_service.serving.admission.throughput import Throughput


def test_it_is_unknown_before_the_first_measurement():
    throughput = Throughput()
    assert throughput.per_second is None and throughput.seconds_for(8, unknown=3.0) == 3.0
    throughput.add(4, 0.0)
    assert throughput.per_second is None  # no time has passed


def test_a_steady_rate_is_found_and_a_new_one_learnt():
    throughput = Throughput(memory=10)
    for _ in range(20):
        throughput.add(8, 0.5)
    assert throughput.per_second == pytest.approx(16)
    assert throughput.seconds_for(32, unknown=0) == pytest.approx(2)
    for _ in range(100):
        throughput.add(8, 1.0)
    assert throughput.per_second == pytest.approx(8, rel=0.01)
