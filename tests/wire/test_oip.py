"""Tensors and parameters of the Open Inference Protocol, whatever a client sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tta_service.core.errors import BadRequest, TTAError, UnknownModel
from tta_service.core.request import Encoded
from tta_service.wire.oip.requests import parse_infer
from tta_service.wire.oip.tensors import join_bytes, read_inputs, split_bytes
from tta_service.wire.server_info import ServerInfo
from tta_service.wire.v1 import open_inference_pb2 as oip

INFO = ServerInfo(model="m", fingerprint="f", image_size=32, dimension=8)
RAW = join_bytes([b"jpeg"])


def message(
    raw: list[bytes] | None = None, shape: tuple[int, ...] = (1, 1), name: str = "image", datatype: str = "BYTES"
) -> oip.ModelInferRequest:
    """A request with one raw input and labels; `parameters` and the rest can be added."""
    made = oip.ModelInferRequest(model_name="tta", raw_input_contents=[RAW] if raw is None else raw)
    made.inputs.add(name=name, datatype=datatype, shape=shape)
    made.parameters["labels"].string_param = "cat, dog"
    return made


def parse(made: oip.ModelInferRequest) -> Any:
    return parse_infer(made, INFO, 4)


def test_raw_and_inline_pictures_are_the_same_request():
    inline = message([])
    inline.inputs[0].contents.bytes_contents.append(b"jpeg")
    raw, listed = parse(message()), parse(inline)
    assert raw.images == listed.images == (Encoded(b"jpeg"),)
    assert raw.of_picture(0) == listed.of_picture(0)
    assert list(raw.of_picture(0).labels.label_set.names) == ["cat", "dog"]


def test_equal_parameters_of_different_requests_are_not_mixed_up():
    first, second = message(), message([join_bytes([b"png"])])
    first.id, second.id = "1", "2"
    assert [parse(made).of_picture(0).request_id for made in (first, second)] == ["1", "2"]
    assert parse(second).images == (Encoded(b"png"),)
    second.parameters["top_k"].int64_param = 1
    assert [parse(made).of_picture(0).options.top_k for made in (first, second)] == [0, 1]


def test_a_mixture_of_raw_and_inline_is_refused():
    mixed = message()
    mixed.inputs.add(name="labels", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"cat")
    with pytest.raises(BadRequest, match="all inputs or none") as caught:
        parse(mixed)
    assert caught.value.field == "inputs.labels"


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (RAW[:-1], (1, 1)),
        (RAW + b"x", (1, 1)),
        (RAW, (2, 1)),
        (b"\xff\xff\xff\xff", (1, 1)),
        (b"\x01\x00", (1, 1)),
        (RAW * 2, (1, 1)),
        (b"", (1, 1)),
        (RAW, (0, 1)),
        (RAW, (-1, -1)),
        (RAW, ()),
        (RAW, (2**62, 2**62)),
        (RAW, (1, 1, 1)),
        (RAW * 5, (5, 1)),
    ],
)
def test_lengths_and_shapes_that_lie_are_refused_with_the_input_s_name(raw: bytes, shape: tuple[int, ...]):
    with pytest.raises(BadRequest) as caught:
        parse(message([raw], shape))
    assert caught.value.field == "inputs.image"


def test_what_has_no_end_is_refused_before_it_is_read():
    """A product of a million dimensions would take minutes."""
    with pytest.raises(BadRequest, match="1000000 dimensions"):
        parse(message([RAW], (2**62,) * 1_000_000))
    many = message()
    for number in range(257):
        many.parameters[str(number)].bool_param = True
    with pytest.raises(BadRequest, match="at most 256") as caught:
        parse(many)
    assert caught.value.field == "parameters"


@given(some.lists(some.binary(max_size=20), max_size=6))
def test_what_is_joined_is_split_again(elements: list[bytes]):
    assert split_bytes(join_bytes(elements), len(elements), "x") == elements


@given(
    some.lists(some.binary(max_size=40), max_size=3),
    some.lists(some.integers(-(2**63), 2**63 - 1), max_size=4),
    some.sampled_from(["image", "pixels", "labels", "other"]),
    some.sampled_from(["BYTES", "UINT8", "FP32", ""]),
)
def test_any_tensor_is_read_or_refused_with_a_field(raw: list[bytes], shape: list[int], name: str, datatype: str):
    made = message(raw, tuple(shape), name, datatype)
    try:
        read_inputs(made, {"image": "BYTES", "pixels": "UINT8", "labels": "BYTES"}, 100)
    except TTAError as error:
        assert error.field and error.message


def test_pixels_are_cut_into_pictures():
    made = message([bytes(range(24))], (2, 2, 2, 3), "pixels", "UINT8")
    first, second = parse(made).images
    assert (first.width, first.height) == (2, 2)
    assert first.pixels + second.pixels == bytes(range(24))


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 2, 4), (1, 5, 2, 3)])
def test_pixels_of_another_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(BadRequest) as caught:
        parse(message([bytes(12)], shape, "pixels", "UINT8"))
    assert caught.value.field == "inputs.pixels"


def test_values_above_a_byte_are_refused():
    made = message([], (1, 1, 1, 3), "pixels", "UINT8")
    made.inputs[0].contents.uint_contents.extend([1, 2, 256])
    with pytest.raises(BadRequest, match="from 0 to 255"):
        parse(made)


def test_each_picture_may_have_labels_of_its_own():
    made = message([join_bytes([b"a", b"b"]), join_bytes([b"cat", b"dog", b"hut", b"car"])], (2, 1))
    made.inputs.add(name="labels", datatype="BYTES", shape=[2, 2])
    del made.parameters["labels"]
    pictures = map(parse(made).of_picture, range(2))
    assert [list(one.labels.label_set.names) for one in pictures] == [["cat", "dog"], ["hut", "car"]]


@pytest.mark.parametrize(
    ("name", "kind", "value", "sentence"),
    [
        ("top_k", "string_param", "3", "it takes an integer, not '3'"),
        ("top_k", "int64_param", -1, "-1 is out of its range"),
        ("guard", "int64_param", 1, "it takes true or false, not 1"),
        ("timeout", "int64_param", -5, "-5 is no number of microseconds"),
        ("on_deadline", "string_param", "later", "'later' is not degrade or fail"),
        ("label_set", "string_param", "id", "labels are given once, and parameters.labels gives them too"),
        ("sequence_id", "bool_param", True, "it takes an integer or a text, not True"),
        ("colour", "string_param", "red", "this model has no such parameter"),
    ],
)
def test_a_wrong_parameter_is_named(name: str, kind: str, value: Any, sentence: str):
    made = message()
    setattr(made.parameters[name], kind, value)
    with pytest.raises(BadRequest, match=sentence) as caught:
        parse(made)
    assert caught.value.field == f"parameters.{name}"


def test_parameters_become_options():
    made = message()
    given: dict[str, tuple[str, Any]] = {
        "strategy": ("string_param", "tda"),
        "strategy.views": ("int64_param", 8),
        "strategy.alpha": ("int64_param", 2),
        "reducer": ("string_param", "tome"),
        "seed": ("uint64_param", 7),
        "timeout": ("int64_param", 1500),
        "sequence_id": ("int64_param", 12),
        "sequence_start": ("bool_param", True),
        "priority": ("uint64_param", 1),
        "triton_enable_empty_final_response": ("bool_param", True),
    }
    for name, (kind, value) in given.items():
        setattr(made.parameters[name], kind, value)
    request = parse(made)
    picture = request.of_picture(0)
    options = picture.options
    assert (options.strategy.name, options.reduction.reducer.name, options.seed) == ("tda", "tome", 7)
    assert dict(options.strategy.parameters) == {"views": 8, "alpha": 2}
    assert (picture.session_id, request.sequence.start, request.sequence.end) == ("12", True, False)
    assert request.timeout == 0.0015


@pytest.mark.parametrize(("kind", "value"), [("int64_param", 0), ("string_param", "")])
def test_an_id_that_stands_for_none_is_no_sequence(kind: str, value: Any):
    made = message()
    setattr(made.parameters["sequence_id"], kind, value)
    made.parameters["sequence_start"].bool_param = True
    assert parse(made).sequence is None


@pytest.mark.parametrize(("name", "version"), [("nothing", ""), ("tta", "2")])
def test_unknown_models_and_versions_are_refused(name: str, version: str):
    made = message()
    made.model_name, made.model_version = name, version
    with pytest.raises(UnknownModel):
        parse(made)


@pytest.mark.parametrize(
    ("name", "classes"), [("nothing", 0), ("label", 2), ("score", -1)], ids=["unknown", "texts", "negative"]
)
def test_outputs_that_cannot_be_had_are_refused(name: str, classes: int):
    made = message()
    asked = made.outputs.add(name=name)
    if classes:
        asked.parameters["classification"].int64_param = classes
    with pytest.raises(BadRequest) as caught:
        parse(made)
    assert caught.value.field.startswith(f"outputs.{name}")
