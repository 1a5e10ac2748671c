"""Limits that are refused before the service starts."""

from __future__ import annotations

import pytest

from tta_service.app.server_info import check_limits
from tta_service.settings import BadSettings


def test_a_limit_of_an_unknown_parameter_is_refused():
    check_limits({"views": 32, "steps": 1, "keep": 0.5})
    with pytest.raises(BadSettings, match="nothing has a number called summary, veiws"):
        check_limits({"views": 32, "veiws": 32, "summary": 1})
