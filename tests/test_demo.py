"""What the demo counts and shows; the demo itself is run by `make demo`."""

from __future__ import annotations

import pytest

pytest.importorskip("tta_client")

from tta_service.demo import DemoFailed
from tta_service.demo.service import service
from tta_service.demo.table import metric_lines
from tta_service.demo.tally import percentile


def test_percentiles_are_values_that_occurred():
    assert percentile([], 95) == 0
    assert percentile([0.3, 0.1, 0.2], 50) == 0.2
    assert percentile([float(i) for i in range(1, 101)], 95) == 95
    assert percentile([5.0], 50) == percentile([5.0], 95) == 5


def test_a_few_lines_of_the_metrics():
    text = '# HELP tta_requests_total x\ntta_requests_total{code="OK"} 4.0\ntta_sessions{state="idle"} 1.0\n'
    assert metric_lines(text) == ['tta_requests_total{code="OK"} 4.0']


def test_a_service_that_cannot_start_fails_the_demo(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(DemoFailed, match="did not start"), service(["--precision=abacus"]):
        pass
    assert "abacus" in capfd.readouterr().err
