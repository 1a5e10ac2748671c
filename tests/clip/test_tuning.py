"""What is measured of the forms of an image tower, and which of them is taken."""

from __future__ import annotations

from typing import Any

import pytest

from tta_service.clip.tuning import Form, Measurement, Search, choose, measure_forms

POCKET = {
    "name": "pocket",
    "pretrained": "",
    "checkpoint": "",
    "config": "",
    "plugin": "",
    "device": "cpu",
    "compress": "",
}


def search(**given: Any) -> Search:
    usual: dict[str, Any] = {"precisions": ["float32", "int8"], "runtimes": ["eager"], "threads": [1]}
    return Search(POCKET, **{**usual, **given})


def measured(precision: str, rate: float, cosine: float = 1.0, equal: float = 1.0) -> Measurement:
    return Measurement(Form(precision, "eager", 1), {1: rate, 32: 4 * rate}, cosine, equal)


def test_the_fastest_that_agrees_is_taken():
    exact, fast = measured("float32", 10.0), measured("int8", 40.0, 0.9981, 0.98)
    assert choose(search(), [exact, fast]) == fast
    assert choose(search(), [exact, measured("int8", 40.0, 0.9979)]) == exact
    assert choose(search(), [exact, measured("int8", 40.0, 0.999, 0.97)]) == exact
    assert choose(search(), []) is None


def test_only_what_was_asked_for_is_taken():
    """Float32 is measured for comparison, whatever was asked for."""
    exact, other = measured("float32", 10.0), measured("bfloat16", 5.0)
    assert choose(search(precisions=["bfloat16"]), [exact, other]) == other
    assert choose(search(runtimes=["openvino"]), [exact]) is None


def test_one_row_counts_as_much_as_many():
    steady = Measurement(Form("int8", "eager", 1), {1: 20.0, 32: 20.0})
    assert choose(search(), [steady, Measurement(Form("int8", "eager", 2), {1: 1.0, 32: 100.0})]) == steady


def test_float32_comes_first_and_few_threads_before_many():
    forms = list(search(precisions=["int8", "float32"], threads=[1, 4]).forms())
    expected = [("float32", 1), ("int8", 1), ("int8", 4), ("float32", 4)]
    assert forms == [Form(precision, "eager", threads) for precision, threads in expected]


def test_a_measurement_survives_its_line():
    one = measured("int8", 3.5, 0.9985, 0.99)
    assert Measurement.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"form": {"precision": "int8", "runtime": "eager", "threads": 1}, "rates": {"1": -1}}']
)
def test_another_line_is_no_measurement(line: str):
    with pytest.raises(ValueError):
        Measurement.from_json(line)


@pytest.mark.slow
def test_bfloat16_agrees_with_float32_and_differs_from_it():
    exact, other = measure_forms(search(precisions=["float32", "bfloat16"]))
    assert exact.form.precision == "float32" and exact.cosine > 0.99999 and exact.equal == 1.0
    assert other.agrees and other.cosine < 0.99999
    assert set(exact.rates) == {1, 8, 32}


@pytest.mark.slow
def test_forms_that_a_model_cannot_have_are_left_out():
    assert [one.form.runtime for one in measure_forms(search(precisions=["float32"], runtimes=["eager", "none"]))] == [
        "eager"
    ]
