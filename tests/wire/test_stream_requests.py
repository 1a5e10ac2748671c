"""A frame that cannot be parsed holds its error."""

from __future__ import annotations

import pytest

from tta_service.core.errors import BadImage, ModelFault, UnknownLabels
from tta_service.core.labels import LabelSet
from tta_service.wire.server_info import ServerInfo
from tta_service.wire.stream_requests import Frame, parse_frame, parse_open
from tta_service.wire.v1 import tta_pb2 as pb

TERMS = ServerInfo(model="m", fingerprint="f", image_size=32, dimension=8)
OPENING = pb.ClassifyStreamRequest(open=pb.OpenStream(labels=pb.Labels(label_set=pb.LabelSet(names=["a", "b"]))))


def parse(frame: pb.Frame, known) -> Frame:
    parsed = parse_open(OPENING, known, TERMS, lambda token: ("", True))
    return parse_frame(pb.ClassifyStreamRequest(frame=frame), parsed, 1, known, TERMS, 0.0)


@pytest.mark.parametrize(
    ("raised", "kept"), [(UnknownLabels("no such set"), UnknownLabels), (RecursionError(), ModelFault)]
)
def test_an_error_of_parsing_a_frame_belongs_to_that_frame(
    raised: Exception, kept: type, caplog: pytest.LogCaptureFixture
) -> None:
    def known(id: str) -> LabelSet:
        raise raised

    frame = parse(pb.Frame(frame_id=2, image=pb.Image(encoded=b"x"), labels=pb.Labels(id="x")), known)
    assert frame.id == 2 and type(frame.parsed) is kept
    assert bool(caplog.records) is (kept is ModelFault)  # the log says what it was


def test_a_frame_without_an_image_fails_alone() -> None:
    assert isinstance(parse(pb.Frame(frame_id=2), None).parsed, BadImage)
