"""How lines are written."""

from __future__ import annotations

import io
import json
import logging

import pytest

from tta_service.core.events import Closed, Event
from tta_service.telemetry import each
from tta_service.telemetry.logs import logger, written


def test_a_label_cannot_forge_a_line():
    stream = io.StringIO()
    with written(stream, "console"):
        logger("tta_service.test").info("seen", label="cat\nlevel=error forged")
    assert len(stream.getvalue().splitlines()) == 1


def test_libraries_write_the_same_way_and_everything_is_put_back():
    handlers, level = list(logging.getLogger().handlers), logging.getLogger("tta_service").level
    stream = io.StringIO()
    with written(stream, "json"):
        logging.getLogger("some.library").warning("slow %s", "disk")
    assert json.loads(stream.getvalue())["event"] == "slow disk"
    assert (list(logging.getLogger().handlers), logging.getLogger("tta_service").level) == (handlers, level)


def test_an_observer_that_fails_is_logged_and_costs_nothing(caplog: pytest.LogCaptureFixture):
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("meter broke")

    each(broken, seen.append)(Closed("idle", 1))
    assert seen == [Closed("idle", 1)]
    assert "meter broke" in caplog.text
