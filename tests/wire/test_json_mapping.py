"""Every way in which a JSON value is no message names the field, whichever message it is."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from tta_service.core.errors import BadRequest
from tta_service.wire.json_mapping import from_json, from_query, parse_json, to_json
from tta_service.wire.json_text import load_json
from tta_service.wire.large_json import parse_large
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


def test_a_field_of_a_message_may_be_all_of_its_text():
    state = b"a" * (1 << 17)
    alone = json.dumps({"session_id": "gate", "state": base64.b64encode(state).decode()})
    messages = [
        parse_large(pb.RestoreSessionRequest, text.encode(), "snapshot")
        for text in (alone, f'{{"snapshot": {alone}}}', f'{{"roll_back": false, "snapshot": {alone}}}')
    ]
    assert messages[0] == messages[1] == messages[2] and messages[0].snapshot.state == state
    assert parse_large(pb.RestoreSessionRequest, b"{}", "snapshot").HasField("snapshot")


@pytest.mark.parametrize(
    ("text", "field"), [("[]", "snapshot"), ('{"snapshot": 1}', "snapshot"), ('{"a": 1}', "snapshot.a")]
)
def test_a_mistake_in_a_field_that_is_all_of_the_text_is_named(text: str, field: str):
    with pytest.raises(BadRequest) as refused:
        parse_large(pb.RestoreSessionRequest, text.encode(), "snapshot")
    assert refused.value.field == field


@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_a_long_picture_may_be_in_either_alphabet_with_escaped_slashes(shift: int, padding: str):
    """Wherever the pieces end that are decoded one by one."""
    picture = bytes(shift) + b"\xff\xfb\xef" * (1 << 17)
    text = base64.b64encode(picture).decode().rstrip("=")
    for one in (text, text.replace("/", "\\/"), text.replace("/", "_").replace("+", "-")):
        message = parse_large(pb.ClassifyRequest, f'{{"image": {{"encoded": "{one}{padding}"}}}}'.encode())
        assert message.image.encoded == picture


@pytest.mark.parametrize("wrong", ["\\\\/", "\\n", "\\u0000", "A=A", "*", "\u00e9", "A"])
def test_what_is_no_base64_is_refused_whatever_its_length_and_wherever_it_stands(wrong: str):
    sentences = set[str]()
    for after in (8, 1 << 17):
        for before in (0, 4, (1 << 17) - 4, 1 << 17):
            text = "A" * before + wrong + "A" * after
            with pytest.raises(BadRequest, match=r"^this is not base64: ") as refused:
                parse_large(pb.ClassifyRequest, f'{{"image": {{"encoded": "{text}"}}}}'.encode())
            assert refused.value.field == "image.encoded"
            sentences.add(refused.value.message.partition("(")[0])
    assert len(sentences) == 1


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


HALF = r'"\ud800"'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f'{{"labels": {{"label_set": {{"names": ["cat", {HALF}]}}}}}}', "labels.label_set.names[1]"),
        (f'{{"options": {{"strategy": {{"parameters": {{"a": [{HALF}]}}}}}}}}', "options.strategy.parameters.a[0]"),
        (f'{{"options": {{"strategy": {{"parameters": {{{HALF}: 1}}}}}}}}', "options.strategy.parameters"),
        (f'{{"image": {{"encoded": {HALF}}}}}', "image.encoded"),
        (r'{"session_id": "\uDE00\uD83D"}', "session_id"),
        (f"{{{HALF}: 1}}", ""),
    ],
)
def test_a_text_with_half_a_surrogate_pair_is_named(text: str, field: str):
    with pytest.raises(BadRequest, match="no valid Unicode") as refused:
        parse_json(pb.ClassifyRequest, text)
    assert refused.value.field == field
    refused.value.field.encode()


def test_a_pair_of_surrogates_is_a_character_and_raw_halves_are_no_json():
    assert parse_json(pb.ClassifyRequest, r'{"session_id": "\ud83d\ude00"}').session_id == "😀"
    with pytest.raises(BadRequest, match="this is not JSON"):
        load_json(b'"\xed\xa0\x80"')


def test_numbers_without_end_are_refused():
    for number in ("1" * 5000, f"[-{'9' * 5000}]"):
        with pytest.raises(BadRequest) as refused:
            load_json(number)
        assert refused.value.message == "a number in this JSON has more than 4300 digits"
    given = f'{{"options": {{"strategy": {{"parameters": {{"a": {"1" * 400}}}}}}}}}'
    with pytest.raises(BadRequest, match="too large") as refused:
        parse_json(pb.ClassifyRequest, given)
    assert refused.value.field == "options.strategy.parameters"
