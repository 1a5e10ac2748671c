"""Calibrations as they are kept."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from tta_service.confidence.calibration import Calibration
from tta_service.core.catalogue import strategies
from tta_service.serving.persistence.trust_codec import decode_trust, encode_trust
from tta_service.serving.sessions.memory import MemoryAccounting, MemoryKey
from tta_service.serving.sessions.session import Session

KEY = MemoryKey(strategies.build("tda"), "labels", None)


def make_session() -> Session:
    return Session("ann", "cam", True, 0.0, 0.0, MemoryAccounting())


def keep(made: Calibration) -> dict[str, Any]:
    session = make_session()
    session.lessons.calibrations[KEY] = (0, made)
    return json.loads(json.dumps(encode_trust(session)))


def restore(header: dict[str, Any]) -> Calibration:
    session = make_session()
    decode_trust(header, session)
    return session.lessons.calibrations[KEY][1]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bias", [(), (0.1, -0.2, 0.1)])
def test_a_calibration_comes_back_as_it_was(share: float, bias: tuple[float, ...]) -> None:
    made = Calibration(9, 1.7, share, True, np.array(bias), np.array([0.1, 0.2]), (True, False))
    again = restore(keep(made))
    for one, other in zip(astuple(made), astuple(again)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("zero_shot", [False, True])
def test_a_calibration_of_an_older_version_goes_on_as_it_was(zero_shot: bool) -> None:
    header = keep(Calibration(9, 1.7, float(not zero_shot)))
    (record,) = header["calibrations"]
    assert record["zero_shot"] == zero_shot  # what an older version reads
    for name in ("share", "bias", "in_range"):
        del record[name]
    logits, plain = np.array([1.0, 2.0]), np.array([3.0, 1.0])
    divided = np.exp((plain if zero_shot else logits) / 1.7)
    assert restore(header).probabilities(logits, plain) == pytest.approx(divided / divided.sum())
