"""What is written, and how loud."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import torch

from tests.telemetry.events import report
from tta_service.core.errors import BadImage, ModelFault, Overloaded
from tta_service.core.events import Closed, Dropped, Event, Forward, Refused
from tta_service.core.request import Degraded
from tta_service.telemetry import each
from tta_service.telemetry.logs import AnswerLog, LogLevel, logger, written


def lines(*events: Event, level: LogLevel = "info") -> list[dict[str, Any]]:
    stream = io.StringIO()
    with written(stream, "json", level):
        for event in events:
            AnswerLog().observe(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_for_each_answer():
    (line,) = lines(report(logits=torch.tensor([0.0, 9.0, 0.0])))
    assert (line["event"], line["level"]) == ("answered", "info")
    assert (line["request_id"], line["session"], line["strategy"]) == ("r7", "door", "zero_shot")
    assert (line["label"], line["zero_shot"], line["seconds"]) == ("thing 1", "thing 0", 0.08)
    assert "warning" not in line


def test_frames_are_written_at_debug_only():
    assert lines(report(policy="latest")) == []
    assert lines(report(policy="latest"), level="debug")[0]["level"] == "debug"


def test_labels_that_the_text_tower_never_saw_are_a_warning_field():
    assert lines(report(unseen=("gizmo", "widget")))[0]["warning"].endswith("gizmo, widget")


def test_how_loud():
    events = [
        report(degraded=Degraded("deadline", 64, 8)),
        Refused(BadImage("cannot be decoded", "image"), "Classify", "tda"),
        Refused(Overloaded("too many wait"), "Classify", ""),
        Refused(ModelFault("not finite"), "Classify", "tda"),
        Forward(8, 1, 0.1, "none", failed=True),
        Forward(8, 1, 0.1, "none"),
        Dropped("superseded", "latest"),
        Closed("client", 3),
    ]
    assert [line["level"] for line in lines(*events)] == ["warning", "info", "warning", "error", "error"]
    refused = lines(events[1])[0]
    assert (refused["reason"], refused["field"], refused["error"]) == ("cannot be decoded", "image", "BadImage")


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
