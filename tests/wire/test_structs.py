"""Parameters are bounded before they are parsed."""

from __future__ import annotations

import time

import pytest
from google.protobuf import struct_pb2

from tta_service.core.errors import BadRequest
from tta_service.wire.structs import MOST_BYTES, MOST_FIELDS, check_structs
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


def test_the_search_is_bounded():
    began = time.process_time()
    with pytest.raises(BadRequest, match="fields"):
        check_structs(pb.ClassifyRequest.DESCRIPTOR, b"\x78\x00" * (4 << 20))
    assert time.process_time() - began < 5
    assert MOST_FIELDS > 10_000


@pytest.mark.parametrize(
    "raw", [b"\xff" * (MOST_BYTES + 9), b"\x1a" + b"\xff" * MOST_BYTES, b"\x0b" * (MOST_BYTES + 1)]
)
def test_bytes_that_are_no_message_are_left_to_the_parser(raw: bytes):
    check_structs(pb.ClassifyRequest.DESCRIPTOR, raw)
