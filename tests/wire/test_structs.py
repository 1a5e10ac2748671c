"""Parameters are bounded before they are parsed."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from google.protobuf import struct_pb2

from tta_service.core.errors import BadRequest
from tta_service.wire.json_mapping import from_json
from tta_service.wire.structs import MOST_BYTES, check_structs
from tta_service.wire.v1 import tta_pb2 as pb


def nulls(number: int) -> struct_pb2.Struct:
    return struct_pb2.Struct(fields={"a": struct_pb2.Value(list_value={"values": [{"null_value": 0}] * number})})


def request(number: int, image: int = 0) -> pb.ClassifyRequest:
    choice = pb.Choice(name="zero", parameters=nulls(number))
    return pb.ClassifyRequest(options=pb.Options(strategy=choice), image=pb.Image(encoded=bytes(image)))


def test_parameters_without_end_are_refused_where_they_are():
    check_structs(pb.ClassifyRequest.DESCRIPTOR, request(MOST_BYTES // 8, image=1 << 20).SerializeToString())
    with pytest.raises(BadRequest) as caught:
        check_structs(pb.ClassifyRequest.DESCRIPTOR, request(MOST_BYTES).SerializeToString())
    assert caught.value.field == "options.strategy.parameters"
    frame = pb.Frame(options=request(MOST_BYTES).options)
    with pytest.raises(BadRequest) as caught:
        message = pb.ClassifyStreamRequest(frame=frame).SerializeToString()
        check_structs(pb.ClassifyStreamRequest.DESCRIPTOR, message)
    assert caught.value.field == "frame.options.strategy.parameters"


def test_many_small_ones_count_together():
    one = request(MOST_BYTES // 40).SerializeToString()
    with pytest.raises(BadRequest, match="bytes in one message"):
        check_structs(pb.ClassifyRequest.DESCRIPTOR, one * 40)  # on the wire, repeated messages are merged


@pytest.mark.parametrize(
    ("kind", "field", "longest"), [(pb.ClassifyRequest, b"\x78\x00", 0.05), (pb.TeachSessionRequest, b"\x12\x00", 2.0)]
)
def test_the_search_is_bounded(kind: Any, field: bytes, longest: float):
    began = time.process_time()
    with pytest.raises(BadRequest, match="fields"):
        check_structs(kind.DESCRIPTOR, field * (1 << 16))
    assert time.process_time() - began < longest


def test_a_thousand_lessons_are_not_too_many():
    lesson = pb.Lesson(label="cat", frame_id=1 << 40, reduction={"reducer": {"name": "tome"}})
    message = pb.TeachSessionRequest(session_id="door", lessons=[lesson] * 3000).SerializeToString()
    assert len(message) > MOST_BYTES
    check_structs(pb.TeachSessionRequest.DESCRIPTOR, message)


@pytest.mark.parametrize("raw", [b"\xff", b"\x1a\xff", b"\x0b", b"\x1a", b"\x19"])
def test_bytes_that_are_no_message_are_refused_or_left_to_the_parser(raw: bytes):
    with contextlib.suppress(BadRequest):
        check_structs(pb.ClassifyRequest.DESCRIPTOR, raw * MOST_BYTES)


JSON_VALUES: dict[str, Any] = {
    "nulls": [None] * (MOST_BYTES // 4),
    "numbers": [1.5] * (MOST_BYTES // 11),
    "a text": "ü" * (MOST_BYTES // 2),
    "objects": [{"a": {}}] * (MOST_BYTES // 8),
}


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_json_has_the_same_bound_and_sentence(value: Any):
    with pytest.raises(BadRequest) as refused:
        from_json(pb.ClassifyRequest, {"options": {"strategy": {"name": "zero", "parameters": {"a": value}}}})
    with pytest.raises(BadRequest) as on_the_wire:
        check_structs(pb.ClassifyRequest.DESCRIPTOR, request(MOST_BYTES).SerializeToString())
    assert (refused.value.field, refused.value.message) == (on_the_wire.value.field, on_the_wire.value.message)


def test_what_json_may_say_the_wire_may_say():
    for number in (MOST_BYTES // 4 - 20, MOST_BYTES // 4 - 1):
        said = {"options": {"strategy": {"name": "zero", "parameters": {"a": [None] * number}}}}
        fits = request(number).options.strategy.parameters.ByteSize() <= MOST_BYTES
        if fits:
            message = from_json(pb.ClassifyRequest, said)
            check_structs(pb.ClassifyRequest.DESCRIPTOR, message.SerializeToString())
        else:
            with pytest.raises(BadRequest):
                from_json(pb.ClassifyRequest, said)


def test_json_without_end_takes_no_time():
    began = time.process_time()
    with pytest.raises(BadRequest):
        from_json(pb.ClassifyRequest, {"options": {"strategy": {"parameters": {"a": [[None]] * 1_000_000}}}})
    assert time.process_time() - began < 0.1
