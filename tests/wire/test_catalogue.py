"""Pages of lists, and Structs there and back."""

from __future__ import annotations

import math

from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from tta_service.wire.catalogue import PAGE, paginate
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
    assert (len(part), token) == (PAGE, part[-1])
    assert len(paginate([f"{i:04}" for i in range(3000)], str, 10**9, "")[0]) == 1000


def test_an_entry_deleted_between_two_pages_hides_no_other():
    keys = ["a", "b", "c", "d"]
    first, token = paginate(keys, str, 2, "")
    keys.remove("b")
    assert first + paginate(keys, str, 2, token)[0] == ["a", "b", "c", "d"]


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
