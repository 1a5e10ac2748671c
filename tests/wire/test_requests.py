"""From messages to core values, without a server."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_service.core.errors import TTAError, UnknownLabels, Unsupported
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reducer, Reduction
from tta_service.core.request import USUAL_THRESHOLD, Encoded, PixelFormat, Raw
from tta_service.wire.oip.requests import facts_of
from tta_service.wire.options import parse_options, parse_reduction, parse_strategy
from tta_service.wire.requests import parse_image, parse_label_set, parse_request
from tta_service.wire.server_info import Limits, ServerInfo
from tta_service.wire.v1 import tta_pb2 as pb

from ..rpc.conftest import LABELS, choice, options

TERMS = ServerInfo("fake", "f" * 32, 32, 64, limits=Limits(parameters={"views": 100}))


def know_no_labels(id: str):
    raise UnknownLabels(f"no label set {id!r} is held here", "labels.id")


@dataclass(frozen=True)
class Halve(Reducer):
    name = "halve"

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x, sizes


def test_fields_that_are_not_set_have_defaults():
    parsed = parse_request(
        pb.ClassifyRequest(image=pb.Image(encoded=b"x"), labels=LABELS), know_no_labels, TERMS, 5.0, None
    )
    request = parsed.request
    assert (request.strategy.name, request.reduction.reducer.name, request.reduction.scope) == (
        "zero_shot",
        "none",
        "all",
    )
    assert (parsed.top_k, request.seed, request.explain, request.on_deadline) == (5, 0, False, "degrade")
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
    message = options("zero", views=7)
    message.cascade.CopyFrom(pb.Cascade(to=choice("mta", views=9), above=0.25))
    message.reduction.scope = pb.Reduction.SCOPE_AUGMENTED
    message.seed, message.top_k, message.explain, message.on_deadline = 2**64 - 1, 3, True, pb.ON_DEADLINE_FAIL
    parsed = parse_options(message, TERMS, "options")
    assert parsed.strategy.views == 7 and parsed.cascade.to.views == 9 and parsed.cascade.above == 0.25
    assert parsed.reduction.scope == "augmented"
    assert (parsed.seed, parsed.top_k, parsed.explain, parsed.on_deadline) == (2**64 - 1, 3, True, "fail")


@pytest.mark.parametrize("first", ["", "zero_shot", "mean"])
def test_a_cascade_has_a_threshold_where_entropies_mean_something(first):
    message = options(first)
    message.cascade.to.CopyFrom(choice("mta"))
    parsed = parse_options(message, TERMS, "options").cascade
    assert parsed.above == 0.25 == USUAL_THRESHOLD[first or "zero_shot"]
    message.cascade.above = 0.0
    assert parse_options(message, TERMS, "options").cascade.above == 0.0


def test_images_arrive_as_they_are():
    plain = parse_options(pb.Options(), TERMS, "options").reduction
    assert parse_image(pb.Image(encoded=b"abc"), plain, TERMS, "image") == Encoded(b"abc")
    raw = pb.RawImage(width=2, height=3, format=pb.RawImage.FORMAT_GRAY8, pixels=b"123456")
    assert parse_image(pb.Image(raw=raw), plain, TERMS, "image") == Raw(2, 3, PixelFormat.GRAY8, b"123456")


def test_features_made_on_the_device_take_no_reduction():
    with pytest.raises(Unsupported) as caught:
        parse_image(pb.Image(features=pb.Features(views=1)), Reduction(Halve()), TERMS, "frame.image")
    assert caught.value.field == "frame.image.features"


def test_a_reducer_that_the_model_does_not_support_is_refused():
    def refuse(reducer: Reducer) -> None:
        raise Unsupported("this tower reduces nothing", "options.reducer.name")

    with pytest.raises(Unsupported) as caught:
        parse_reduction(pb.Reduction(), replace(TERMS, check_reducer=refuse), "open.options.reduction")
    assert caught.value.field == "open.options.reduction.reducer.name"


def test_the_name_of_the_strategy_is_read_from_any_message():
    assert facts_of(pb.ClassifyRequest(options=options("zero"), request_id="7")) == ("zero", "7", "")
    assert facts_of(pb.GetSessionRequest(session_id="gate")) == ("", "", "gate")
    assert facts_of(None) == ("", "", "")


@given(st.binary(max_size=200))
def test_any_message_is_understood_or_refused_with_a_field(raw):
    try:
        message = pb.ClassifyRequest.FromString(raw)
    except Exception:
        return
    try:
        parse_request(message, know_no_labels, TERMS, 0.0, None)
    except TTAError as error:
        assert error.field


def test_equal_choices_share_what_was_built_for_the_first():
    first, again = (parse_options(options("zero", views=7), TERMS, path) for path in ("options", "frame.options"))
    assert first.strategy is again.strategy and first.reduction is again.reduction
    padded = pb.Choice.FromString(choice("zero", views=7).SerializeToString() + b"\xfa\x01\x04more")  # a later field
    assert parse_strategy(padded, TERMS, "options.strategy") is first.strategy
    assert parse_options(options("zero", views=8), TERMS, "options").strategy.views == 8


def test_equal_label_sets_are_checked_once_and_wrong_ones_each_time():
    message = pb.LabelSet(names=["cat", "dog"])
    first, again = (parse_label_set(message, TERMS, path) for path in ("labels.label_set", "frame.labels.label_set"))
    assert first is again and first == LabelSet(("cat", "dog"))
    message.names.append("cat")
    for path in ("labels.label_set", "frame.labels.label_set"):
        with pytest.raises(TTAError, match="both 'cat'") as caught:
            parse_label_set(message, TERMS, path)
        assert caught.value.field == f"{path}.names[2]"
    message.allow_duplicates = True
    assert parse_label_set(message, TERMS, "labels").names == ("cat", "dog", "cat")


@pytest.mark.parametrize("path", ["options.strategy", "frame.options.strategy"])
def test_a_wrong_choice_is_refused_each_time_in_the_same_words(path):
    for wrong in (choice("zero", views=101), choice("zero", view=7), choice("nothing")):
        said = []
        for _ in range(2):
            with pytest.raises(TTAError) as caught:
                parse_strategy(wrong, TERMS, path)
            said.append((caught.value.message, caught.value.field))
        assert said[0] == said[1] and said[0][1].startswith(f"{path}.")


def test_limits_are_of_the_server_that_is_asked():
    small = replace(TERMS, limits=Limits(parameters={"views": 5}))
    assert parse_strategy(choice("zero", views=7), TERMS, "strategy").views == 7
    with pytest.raises(TTAError, match="allows at most 5"):
        parse_strategy(choice("zero", views=7), small, "strategy")


def test_the_guard_is_on_unless_it_is_turned_off():
    for message, on in ((pb.Options(), True), (pb.Options(guard=True), True), (pb.Options(guard=False), False)):
        assert parse_options(message, TERMS, "options").guard is on
