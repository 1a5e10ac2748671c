"""Stable labels of a session, of each strategy by itself."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.telemetry.reports import make_report
from tta_service.confidence.calibration import Calibration
from tta_service.core.catalogue import strategies
from tta_service.core.trust import Smoothing, TrustOptions
from tta_service.serving.sessions.trust import SessionTrust

OPTIONS = TrustOptions(smooth=Smoothing(3, 0.5, 0.3))


def stable(trust: SessionTrust, strategy: str, label: int) -> int | None:
    """After one more sure answer of a strategy."""
    report = make_report(10 * torch.eye(3)[label])
    request = replace(report.request, strategy=strategies.build(strategy), trust=OPTIONS)
    return trust.judge(replace(report, request=request), Calibration(), 0.0).stable


def test_two_strategies_on_the_same_frames_have_a_stable_label_each():
    trust = SessionTrust()
    found = [(stable(trust, "zero_shot", 0), stable(trust, "tda", 1)) for _ in range(4)]
    assert found[-1] == (0, 1)
    again = SessionTrust()
    again.restore(trust.encode())
    assert (stable(again, "zero_shot", 2), stable(again, "tda", 2)) == (0, 1)  # one odd frame


def test_a_session_of_an_older_version_goes_on_with_the_first_strategy():
    trust = SessionTrust()
    labels = make_report().request.labels.id
    trust.restore({"labels": labels, "cosines": [0.2], "frames": [(1, 0.9)] * 3, "stable": 1, "others": 0.0})
    assert stable(trust, "zero_shot", 2) == 1
    assert stable(trust, "tda", 2) is None
