"""From the wire to core values, without a server."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_service.core.errors import TTAError, Unsupported
from tta_service.core.reducer import Reducer, Reduction
from tta_service.core.request import USUAL_THRESHOLD, Encoded, PixelFormat, Raw
from tta_service.serving.text.cache import TextSpaceCache
from tta_service.wire.options import parse_options, parse_reduction
from tta_service.wire.requests import parse_image, parse_request, strategy_name
from tta_service.wire.server_info import Limits, ServerInfo
from tta_service.wire.v1 import tta_pb2 as pb

from ..rpc.conftest import LABELS, choice, options

TERMS = ServerInfo("fake", "f" * 32, 32, 64, limits=Limits(parameters={"views": 100}))


def nobody(id: str):
    raise AssertionError(f"{id} was not asked for")


@dataclass(frozen=True)
class Halve(Reducer):
    name = "halve"

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x, sizes


def test_fields_that_are_not_set_have_defaults():
    asked = parse_request(pb.ClassifyRequest(image=pb.Image(encoded=b"x"), labels=LABELS), nobody, TERMS, 5.0, None)
    request = asked.request
    assert (request.strategy.name, request.reduction.reducer.name, request.reduction.scope) == (
        "zero_shot",
        "none",
        "all",
    )
    assert (asked.top_k, request.seed, request.explain, request.on_deadline) == (5, 0, False, "degrade")
    assert (request.owner, request.session, request.cascade, request.frame_id, request.policy) == (
        "",
        "",
        None,
        None,
        "",
    )
    assert request.labels.templates == ("a photo of a {}.",)
    assert (request.arrived, request.deadline) == (5.0, None)


def test_every_option_that_is_set_is_read():
    asked = options("zero", views=7)
    asked.cascade.CopyFrom(pb.Cascade(to=choice("mta", views=9), above=0.25))
    asked.reduction.scope = pb.Reduction.SCOPE_AUGMENTED
    asked.seed, asked.top_k, asked.explain, asked.on_deadline = 2**64 - 1, 3, True, pb.ON_DEADLINE_FAIL
    told = parse_options(asked, TERMS, "options")
    assert told.strategy.views == 7 and told.cascade.to.views == 9 and told.cascade.above == 0.25
    assert told.reduction.scope == "augmented"
    assert (told.seed, told.top_k, told.explain, told.on_deadline) == (2**64 - 1, 3, True, "fail")


@pytest.mark.parametrize("first", ["", "zero_shot", "mean"])
def test_a_cascade_has_a_threshold_where_entropies_mean_something(first):
    asked = options(first)
    asked.cascade.to.CopyFrom(choice("mta"))
    told = parse_options(asked, TERMS, "options").cascade
    assert told.above == 0.25 == USUAL_THRESHOLD[first or "zero_shot"]
    asked.cascade.above = 0.0
    assert parse_options(asked, TERMS, "options").cascade.above == 0.0


def test_images_arrive_as_they_are():
    plain = parse_options(pb.Options(), TERMS, "options")
    assert parse_image(pb.Image(encoded=b"abc"), plain, TERMS, "image") == Encoded(b"abc")
    raw = pb.RawImage(width=2, height=3, format=pb.RawImage.FORMAT_GRAY8, pixels=b"123456")
    assert parse_image(pb.Image(raw=raw), plain, TERMS, "image") == Raw(2, 3, PixelFormat.GRAY8, b"123456")


def test_features_made_on_the_device_take_no_reduction():
    from dataclasses import replace

    reduced = replace(parse_options(pb.Options(), TERMS, "options"), reduction=Reduction(Halve()))
    with pytest.raises(Unsupported) as caught:
        parse_image(pb.Image(features=pb.Features(views=1)), reduced, TERMS, "frame.image")
    assert caught.value.field == "frame.image.features"


def test_a_reducer_that_the_model_does_not_support_is_refused():
    from dataclasses import replace

    def refuse(reducer: Reducer) -> None:
        raise Unsupported("this tower reduces nothing", "options.reducer.name")

    with pytest.raises(Unsupported) as caught:
        parse_reduction(pb.Reduction(), replace(TERMS, check_reducer=refuse), "open.options.reduction")
    assert caught.value.field == "open.options.reduction.reducer.name"


def test_the_name_of_the_strategy_is_read_from_any_message():
    assert strategy_name(pb.ClassifyRequest(options=options("zero"))) == "zero"
    assert strategy_name(pb.GetSessionRequest()) == strategy_name(None) == ""


@given(st.binary(max_size=200))
def test_any_message_is_understood_or_refused_with_a_field(raw):
    try:
        message = pb.ClassifyRequest.FromString(raw)
    except Exception:
        return
    known = TextSpaceCache(nobody, None, None).labels  # type: ignore[arg-type]
    try:
        parse_request(message, known, TERMS, 0.0, None)
    except TTAError as error:
        assert error.field
