"""Every way in which a JSON value is no message names the field, whichever message it is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tta_service.core.errors import BadRequest
from tta_service.wire.json_mapping import from_json, from_query, load_json, parse_json, to_json
from tta_service.wire.v1 import tta_pb2 as pb


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        (pb.ClassifyRequest, [], ""),
        (pb.ClassifyRequest, {"image": [1]}, "image"),
        (pb.ClassifyRequest, {"options": {"strategy": "taught"}}, "options.strategy"),
        (pb.ClassifyRequest, {"options": {"strategy": {"nam": "x"}}}, "options.strategy.nam"),
        (pb.ClassifyRequest, {"options": {"seed": "x"}}, "options.seed"),
        (pb.ClassifyRequest, {"options": {"topK": -1}}, "options.top_k"),
        (pb.ClassifyRequest, {"options": {"top_k": 1.5}}, "options.top_k"),
        (pb.ClassifyRequest, {"options": {"top_k": 1 << 32}}, "options.top_k"),
        (pb.ClassifyRequest, {"options": {"seed": str(1 << 64)}}, "options.seed"),
        (pb.ClassifyRequest, {"options": {"explain": 1}}, "options.explain"),
        (pb.ClassifyRequest, {"options": {"on_deadline": "SOON"}}, "options.on_deadline"),
        (pb.ClassifyRequest, {"options": {"strategy": {"parameters": [1]}}}, ""),
        (pb.ClassifyRequest, {"image": {"encoded": 3}}, "image.encoded"),
        (pb.ClassifyRequest, {"image": {"encoded": "", "raw": {}}}, "image"),
        (pb.ClassifyRequest, {"labels": {"label_set": {"names": [1]}}}, "labels.label_set.names[0]"),
        (pb.TeachSessionRequest, {"lessons": {}}, "lessons"),
        (pb.TeachSessionRequest, {"lessons": [{}, None]}, "lessons[1]"),
        (pb.TeachSessionRequest, {"lessons": [{}, {"label": "a", "none_of_these": True}]}, "lessons[1]"),
        (pb.GetLessonSumsRequest, {"epsilon": "nan"}, "epsilon"),
        (pb.GetLessonSumsRequest, {"epsilon": True}, "epsilon"),
    ],
    ids=str,
)
def test_a_value_that_is_no_message_is_refused_by_its_field(kind: Any, value: Any, field: str):
    with pytest.raises(BadRequest) as refused:
        from_json(kind, value)
    assert refused.value.field == field and refused.value.message


@pytest.mark.parametrize(
    "given",
    [
        {"labels": "x", "labels.id": "a"},
        {"labels.id": "a", "labels": "x"},
        {"options": "{}", "options.strategy.name": "tda"},
        {"image.raw": "1", "image.raw.width": "2"},
        {"options.strategy.parameters": "{}", "options.strategy.parameters.fields": "x"},
        {"options.reduction": "", "options.reduction.reducer.name": "x"},
    ],
    ids=str,
)
def test_a_query_names_a_message_or_parts_of_it(given: dict[str, str]):
    with pytest.raises(BadRequest, match=r"is given (as a whole )?too") as refused:
        from_query(pb.ClassifyRequest, {name: [text] for name, text in given.items()})
    assert refused.value.field == list(given)[-1]


def test_a_name_given_twice_is_found_in_one_pass():
    seconds = list[float]()
    for many in (20_000, 40_000):
        text = "{" + ",".join(f'"n{number}": 0' for number in (*range(many), many - 1)) + "}"
        started = time.process_time()
        with pytest.raises(BadRequest, match=f"'n{many - 1}' is given more than once"):
            load_json(text)
        seconds.append(time.process_time() - started)
    assert seconds[1] < 3 * seconds[0] + 0.1 and seconds[1] < 1


def test_numbers_have_all_their_bits_and_null_is_as_good_as_absent():
    seed = (1 << 64) - 1
    for given in (seed, str(seed)):
        message = from_json(
            pb.ClassifyRequest, {"options": {"seed": given, "top_k": 3.0, "cascade": None}, "image": None}
        )
        assert (message.options.seed, message.options.top_k, message.HasField("image")) == (seed, 3, False)
    assert parse_json(pb.ClassifyRequest, to_json(message)).options.seed == seed


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": Infinity}', '{"a": 1, "a": 2}', "[" * 100_000, b"\xff"])
def test_a_text_that_is_no_json_is_refused(text: str | bytes):
    with pytest.raises(BadRequest):
        load_json(text)
