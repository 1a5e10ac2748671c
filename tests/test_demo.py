"""A short run of the demo, and its counts and table."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tta_client")

from tta_service.demo import STRATEGIES, DemoFailed, run
from tta_service.demo.service import start_service
from tta_service.demo.table import metric_lines
from tta_service.demo.tally import percentile


@pytest.mark.slow
def test_the_demo_answers_every_frame_and_stops_its_service(capfd: pytest.CaptureFixture[str]):
    pytest.importorskip("skimage", reason="the virtual camera looks at the photographs of scikit-image")
    run(frames=8, views=2, flags=["--set=batch.max_rows=16", "--set=lanes.cores=1"])
    out = capfd.readouterr().out
    for strategy in STRATEGIES[1:]:  # the lessons below ask zero_shot too
        assert f'tta_requests_total{{code="OK",method="ClassifyStream",strategy="{strategy}"}} 2.0' in out
    for strategy in STRATEGIES:
        assert [
            line.split()[1:4] for line in out.splitlines() if line.split()[:1] == [strategy] and "->" not in line
        ] == [["2", "2", "0"]]
    assert 'tta_session_memory_bytes{strategy="tda"}' in out
    right = {name: (int(a), int(b)) for name, a, b in re.findall(r"(\w+) +(\d+) -> (\d+)", out)}
    assert right["zero_shot"][0] == right["zero_shot"][1]  # it learns nothing, and all begin as it does
    assert right["taught"][0] == right["tip_adapter"][0] == right["zero_shot"][0]
    assert right["taught"][1] > right["tip_adapter"][1] > right["zero_shot"][1]
    assert len(re.findall(r"^  \d\. not [\w ]+: [\w ]+$", out, re.MULTILINE)) == 6
    assert out.endswith("the service has stopped\n")


def test_percentiles_are_values_that_occurred():
    assert percentile([], 95) == 0
    assert percentile([0.3, 0.1, 0.2], 50) == 0.2
    assert percentile([float(i) for i in range(1, 101)], 95) == 95
    assert percentile([5.0], 50) == percentile([5.0], 95) == 5


def test_the_demo_shows_a_few_lines_of_the_metrics():
    text = '# HELP tta_requests_total x\ntta_requests_total{code="OK"} 4.0\ntta_sessions{state="idle"} 1.0\n'
    assert metric_lines(text) == ['tta_requests_total{code="OK"} 4.0']


@pytest.mark.slow
def test_a_service_that_cannot_start_fails_the_demo(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(DemoFailed, match="did not start"), start_service(["--precision=abacus"]):
        pass
    assert "abacus" in capfd.readouterr().err
