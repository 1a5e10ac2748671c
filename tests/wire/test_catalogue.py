"""Pages of lists, and Structs there and back."""

from __future__ import annotations

import math

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from tta_service.core.errors import BadRequest
from tta_service.wire.catalogue import PAGE, PAGE_BYTES, paginate
from tta_service.wire.well_known import from_struct, to_duration, to_struct


@given(st.sets(st.text("abc", min_size=1, max_size=6)), st.integers(1, 7))
def test_pages_together_are_the_whole_list(keys, size):
    seen, token, rounds = [], "", 0
    while rounds == 0 or token:
        part, token = paginate(keys, str, size, token)
        assert len(part) <= size
        seen, rounds = seen + part, rounds + 1
    assert seen == sorted(keys)


def test_a_page_has_a_size_of_its_own():
    part, token = paginate([f"{i:04}" for i in range(3000)], str, 0, "")
    assert len(part) == PAGE and token
    assert len(paginate([f"{i:04}" for i in range(3000)], str, 10**9, "")[0]) == 1000


def test_an_entry_deleted_between_two_pages_hides_no_other():
    keys = ["a", "b", "c", "d"]
    first, token = paginate(keys, str, 2, "")
    keys.remove("b")
    assert first + paginate(keys, str, 2, token)[0] == ["a", "b", "c", "d"]


@given(st.lists(st.integers(0, PAGE_BYTES * 2), min_size=1, max_size=9))
def test_a_page_of_large_items_ends_before_it_is_too_large_for_a_message(sizes):
    items = list(enumerate(sizes))
    seen, token, rounds = [], "", 0
    while rounds == 0 or token:
        part, token = paginate(items, lambda item: str(item[0]), 0, token, lambda item: item[1])
        assert len(part) == 1 or sum(size for _, size in part) <= PAGE_BYTES
        seen, rounds = seen + part, rounds + 1
    assert seen == items


@pytest.mark.parametrize("token", ["nonsense", "0", "\0", "b"])
def test_a_token_that_no_page_gave_is_refused(token):
    with pytest.raises(BadRequest, match="token of a page") as error:
        paginate("abc", str, 1, token)
    assert error.value.field == "page_token"


def test_structs_survive_both_ways():
    values = {"views": 3, "keep": 0.25, "greedy": True, "mode": "soft"}
    assert from_struct(to_struct(values)) == values
    assert from_struct(to_struct({"loss": math.nan, "fill": math.inf, "steps": 2})) == {"steps": 2}


def test_values_of_the_wrong_kind_are_left_for_the_catalogue_to_refuse():
    odd = struct_pb2.Struct()
    odd.update({"list": [1, "a"], "inner": {"x": None}})
    odd.fields["nan"].number_value = math.nan
    odd.fields["unset"].Clear()
    values = from_struct(odd)
    assert values["list"] == [1.0, "a"] and values["inner"] == {"x": None} and values["unset"] is None
    assert math.isnan(values["nan"])


def test_durations_keep_their_nanoseconds():
    assert to_duration(1.25).ToNanoseconds() == 1_250_000_000
