from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from tta_service.core.errors import BadParameters
from tta_service.core.parameters import Parameter, parameters_of, parse_value, validate


@dataclass(frozen=True)
class Kettle:
    cups: Annotated[int, Ge(1), Le(12), "how many"] = 4
    heat: Annotated[float, Gt(0), Lt(1)] = 0.5
    lid: bool = True
    tea: Annotated[Literal["green", "black"], "which"] = "green"


def test_fields_are_described_with_their_bounds():
    assert parameters_of(Kettle) == (
        Parameter("cups", "int", 4, 1.0, 12.0, "how many"),
        Parameter("heat", "float", 0.5, 0.0, 1.0, "above 0; below 1"),
        Parameter("lid", "bool", True),
        Parameter("tea", "string", "green", description="which", choices=("green", "black")),
    )


def test_defaults_are_filled_in_and_whole_numbers_are_ints():
    values = validate(Kettle, {"cups": 3.0})
    assert values == {"cups": 3, "heat": 0.5, "lid": True, "tea": "green"} and type(values["cups"]) is int


@pytest.mark.parametrize(
    "field, value",
    [
        ("cups", 0),
        ("cups", 13.0),
        ("cups", 2.5),
        ("cups", "3"),
        ("cups", True),
        ("cups", None),
        ("heat", 0.0),
        ("heat", 1.0),
        ("heat", math.nan),
        ("heat", math.inf),
        ("heat", -math.inf),
        ("lid", 1.0),
        ("lid", "true"),
        ("tea", "white"),
        ("tea", 1.0),
        ("milk", 1.0),
        ("cups", [1]),
        ("cups", {"a": 1}),
        ("cups", 1e300),
    ],
)
def test_invalid_values_are_refused_by_field(field, value):
    with pytest.raises(BadParameters, match=field) as refusal:
        validate(Kettle, {field: value})
    assert refusal.value.field == f"parameters.{field}"


def test_the_error_of_an_unknown_field_lists_the_known_ones():
    with pytest.raises(BadParameters, match="cups, heat, lid, tea"):
        validate(Kettle, {"milk": 1})


def test_long_values_are_shortened_in_errors():
    for given in ({"m" * 5000: 1}, {"tea": "x" * 5000}, {"cups": 1e300}):
        with pytest.raises(BadParameters) as refusal:
            validate(Kettle, given)
        assert "…" in refusal.value.message and len(refusal.value.message) < 200


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        (" 0.5 ", 0.5),
        ("true", True),
        ("True", True),
        ("-inf", -math.inf),
        (" green", "green"),
        ("1" * 5000, "1" * 5000),
        ("[" * 9999, "[" * 9999),
    ],
    ids=lambda given: str(given)[:9],
)
def test_a_text_is_the_value_that_it_spells_or_a_word(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


def test_the_word_nan_is_no_finite_number():
    assert math.isnan(parse_value("nan")) and math.isnan(parse_value("NaN"))
