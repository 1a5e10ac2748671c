"""What a session knows of the trust in its answers, in the header of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...confidence.calibration import Calibration
from ..sessions.memory import MemoryKey
from ..sessions.session import Session
from .memory_codec import decode_reduction, decode_strategy, encode_reduction, encode_strategy


def encode_trust(session: Session) -> dict[str, Any]:
    """Recent cosines and labels, and the calibrations by its lessons, for JSON."""
    calibrations = [
        {
            "strategy": encode_strategy(key.strategy),
            "labels": key.labels,
            "reduction": encode_reduction(key.reduction),
            "lessons": one.lessons,
            "temperature": one.temperature,
            "zero_shot": not one.share,  # for older versions, which know no shares
            "share": one.share,
            "in_range": one.in_range,
            "bias": one.bias.tolist(),
            "scores": one.scores.tolist(),
            "covered": [int(held) for held in one.covered],
        }
        for key, (_, one) in session.lessons.calibrations.items()
    ]
    header: dict[str, Any] = {"trust": session.trust.encode()}
    if session.asking.begun:
        header["asking"] = session.asking.encode()
    return header | ({"calibrations": calibrations} if calibrations else {})


def decode_trust(header: Mapping[str, Any], session: Session) -> None:
    """The session goes on from what `encode_trust` gave, if an older version did not leave it out."""
    if "trust" in header:
        session.trust.restore(header["trust"])
    if "asking" in header:
        session.asking.restore(header["asking"])
    book = session.lessons
    for one in header.get("calibrations", ()):
        key = MemoryKey(decode_strategy(one["strategy"]), one["labels"], decode_reduction(one["reduction"]))
        scores, covered = np.array(one["scores"], np.float64), tuple(map(bool, one["covered"]))
        in_range, bias = one.get("in_range", False), np.array(one.get("bias", ()), np.float64)  # not in older versions
        share = one.get("share", float(not one["zero_shot"]))
        made = Calibration(one["lessons"], one["temperature"], share, in_range, bias, scores, covered)
        book.calibrations.setdefault(key, (book.changes, made))


def without_trust(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header of a snapshot of another model, whose cosines and scores mean nothing here."""
    return {name: value for name, value in header.items() if name not in ("trust", "calibrations", "asking")}
