"""How an answer came about, for the caller who asks and as a sample for metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.evidence import Evidence, Views
from ...core.request import Explanation
from ...core.strategy import Strategy, needs_of
from ...maths import confident_rows, entropy

log = logging.getLogger(__name__)


def explain_answer(strategy: Strategy[Any], evidence: Evidence, views: Views | None, memory: Any) -> Explanation:
    """Explains an answer. If the strategy's `explain` fails, logs the error and returns the default explanation."""
    fraction = needs_of(strategy).confident
    try:
        return _make_explanation(strategy.explain(evidence, memory), fraction, evidence, views)
    except Exception:
        log.exception("%s could not explain itself", strategy.name)
        return _make_explanation({}, fraction, evidence, views)


def _make_explanation(
    given: Mapping[str, Tensor | float], fraction: float, evidence: Evidence, views: Views | None
) -> Explanation:
    """By default the kept views are the confident `fraction`, with equal weights."""
    logits = evidence.logits()
    kept = torch.zeros(len(evidence.views), dtype=torch.bool)
    kept[torch.as_tensor(given["kept"] if "kept" in given else confident_rows(evidence, fraction)).long()] = True
    weight = torch.as_tensor(given["weight"]).float().cpu() if "weight" in given else kept.float() / kept.sum()
    notes = {name: float(value) for name, value in given.items() if not isinstance(value, Tensor) or value.ndim == 0}
    return Explanation(views, entropy(logits).cpu(), logits.argmax(-1).cpu(), kept, weight, notes)
