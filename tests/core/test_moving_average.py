from __future__ import annotations

import numpy
import pytest

from tta_service.core.moving_average import MovingAverage


def average_of(*values: float, span: float = 10, **given: float) -> float:
    average = MovingAverage[float](span, **given)
    for value in values:
        average.add(value)
    return average.value


def test_the_first_values_count_alike():
    assert average_of() == 0.0 and average_of(3.0) == 3.0
    assert average_of(1.0, 2.0, 6.0) == pytest.approx(3.0)


def test_a_new_value_moves_it_by_its_share_of_the_span():
    assert average_of(*[1.0] * 10, 2.0) == pytest.approx(1.1)
    assert average_of(2.0, value=1.0) == pytest.approx(1.1)  # a past is given
    assert average_of(*[5.0] * 100, *[1.0] * 100) == pytest.approx(1.0, abs=1e-3)


def test_a_rate_is_that_of_the_last_units_of_time():
    rate = MovingAverage[float](10)
    rate.add(4, over=0.0)
    assert rate.value == 0.0  # no time has passed
    for _ in range(20):
        rate.add(8, over=0.5)
    assert rate.value == pytest.approx(16)
    rate.add(8, over=0.0)  # at once
    assert rate.value == pytest.approx(16.8)
    for _ in range(100):
        rate.add(8, over=1.0)
    assert rate.value == pytest.approx(8, rel=0.01)
    rate.add(40, over=20.0)  # longer than all that it remembers
    assert rate.value == pytest.approx(2)


def test_arrays_have_means_too():
    average = MovingAverage[numpy.ndarray](4)
    for k in range(3):
        average.add(numpy.array([0.0, k]))
    assert average.value.tolist() == [0.0, 1.0]
