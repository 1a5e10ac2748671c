from __future__ import annotations

import numpy
import pytest

from tta_service.telemetry.entropy import relative_entropy


def test_it_runs_from_certain_to_uniform():
    assert relative_entropy(numpy.zeros(7)) == pytest.approx(1)
    assert relative_entropy(numpy.array([1e4, 0, 0], dtype=numpy.float32)) == 0
