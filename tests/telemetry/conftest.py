from __future__ import annotations

import pytest

from tta_service.core.errors import BadImage
from tta_service.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(("zero_shot", "tda"), code_of=lambda error: {BadImage: "INVALID_ARGUMENT"}.get(type(error), "OTHER"))
