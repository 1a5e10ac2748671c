"""The log lines of answers and refusals, and their levels."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.telemetry.reports import make_report
from tta_service.core.caution import Caution, CautionKind
from tta_service.core.errors import BadImage, ModelFault, Overloaded
from tta_service.core.events import Closed, Dropped, Event, Forward, Refused
from tta_service.core.labels import LabelSet
from tta_service.core.request import Degraded
from tta_service.telemetry.access_log import AccessLog
from tta_service.telemetry.logging import LogLevel, configure_logging


def lines(*events: Event, level: LogLevel = "info") -> list[dict[str, Any]]:
    stream, log = io.StringIO(), AccessLog()
    with configure_logging(stream, "json", level):
        for event in events:
            log.handlers[type(event)](event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_for_each_answer():
    (line,) = lines(make_report(logits=torch.tensor([0.0, 9.0, 0.0])))
    assert (line["event"], line["level"]) == ("answered", "info")
    assert (line["request_id"], line["session"], line["strategy"]) == ("r7", "gate", "zero_shot")
    assert (line["label"], line["zero_shot"], line["seconds"]) == ("thing 1", "thing 0", 0.08)
    assert "warning" not in line


CALLER = "0af7651916cd43dd8448eb211c80319c"  # W3C Trace Context, 3.2.4


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (f"00-{CALLER}-b7ad6b7169203331-01", CALLER),
        (f"00-{CALLER}-b7ad6b7169203331-00", CALLER),  # not sampled, and still a name for the request
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        ('00-","level":"error-01', None),
        ("", None),
    ],
)
def test_a_line_has_the_trace_id_of_the_caller(traceparent: str, trace_id: str | None):
    answered = make_report()
    answered = replace(answered, request=replace(answered.request, trace=traceparent))
    refused = Refused(BadImage("broken", "image"), "Classify", "tda", trace=traceparent)
    assert [line.get("trace_id") for line in lines(answered, refused)] == [trace_id] * 2


def test_frames_are_written_at_debug_only():
    assert lines(make_report(policy="latest")) == []
    assert lines(make_report(policy="latest"), level="debug")[0]["level"] == "debug"


def test_labels_that_the_text_tower_was_never_taught_are_a_warning_field():
    assert lines(make_report(unseen=("gizmo", "widget")))[0]["warning"].endswith("gizmo, widget")
    many = lines(make_report(unseen=tuple(f"gizmo{i}" for i in range(2000))))[0]["warning"]
    assert many.endswith("gizmo7 and 1992 more")


UNTAUGHT = Caution(CautionKind.UNTAUGHT_NAMES, "the text tower was never taught 1 of 3 names")
FOREIGN = Caution(CautionKind.FOREIGN, "the pictures fit none of the names")


def test_the_first_frame_with_such_labels_is_a_warning():
    frame = make_report(policy="latest", unseen=("gizmo",), cautions=(UNTAUGHT,))
    other = replace(frame, request=replace(frame.request, labels=LabelSet(("gizmo", "cat", "dog"))))
    first, second = lines(frame, frame, other, make_report(policy="latest"))
    assert (first["level"], second["level"]) == ("warning", "warning")
    assert "gizmo" in first["warning"] and first["label"] == "thing 0" and second["label"] == "gizmo"


def test_a_warning_is_written_once_an_hour_for_each_session_owner_and_kind():
    now, stream = [0.0], io.StringIO()
    log = AccessLog(clock=lambda: now[0])
    frame = make_report(policy="latest", cautions=(FOREIGN,))
    elsewhere = replace(frame, request=replace(frame.request, session="yard"))
    owned = replace(frame, request=replace(frame.request, owner="ann"))
    both = replace(frame, unseen=("gizmo",), cautions=(FOREIGN, UNTAUGHT))
    with configure_logging(stream, "json", "info"):
        for now[0] in (0.0, 3500.0, 3700.0, 3800.0):
            log.handlers[type(frame)](frame)
        for report in (elsewhere, owned, both, both):
            log.handlers[type(frame)](report)
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(written) == 5 and all(one["level"] == "warning" and FOREIGN.message in one["warning"] for one in written)
    assert (written[2]["session"], written[3]["owner"]) == ("gate", "ann") and "gizmo" in written[4]["warning"]


def test_a_refusal_names_its_request_session_and_frame():
    (line,) = lines(Refused(BadImage("broken", "image"), "Classify", "tda", request_id="r" * 5000, session="gate"))
    assert (line["session"], line["strategy"], line["method"]) == ("gate", "tda", "Classify")
    assert line["request_id"].startswith("rrr") and len(line["request_id"]) == 200
    (line,) = lines(Refused(BadImage("broken"), "ClassifyStream", "tda", "latest", session="gate", frame_id=0))
    assert line["frame_id"] == 0 and "request_id" not in line and "field" not in line


def test_levels():
    events = [
        make_report(degraded=Degraded("deadline", 64, 8)),
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
