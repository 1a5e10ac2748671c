"""What is told about the parts, and what is refused before there are any."""

from __future__ import annotations

import pytest

from tta_service.app.server_info import check_limits
from tta_service.settings import BadSettings


def test_a_limit_that_binds_nothing_is_refused():
    check_limits({"views": 32, "steps": 1, "keep": 0.5})
    with pytest.raises(BadSettings, match="nothing has a number called summary, veiws"):
        check_limits({"views": 32, "veiws": 32, "summary": 1})
