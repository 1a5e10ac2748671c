"""Evaluations in files, read to be compared: what is damaged is named and compared with nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tta_service.core.errors import BadRequest
from tta_service.evaluate.compare import compare, read_evaluation
from tta_service.evaluate.results import FORMAT


def written() -> dict[str, Any]:
    key = {"strategy": "tda", "shift": "none", "severity": 0, "order": "shuffled", "lessons": 0}
    return {
        "format": FORMAT,
        "about": {"model": "pocket"},
        "classes": ["cat", "dog"],
        "pictures": [{"id": "a", "label": 0}, {"id": "b", "label": 1}],
        "answers": [{**key, "streams": [{"picture": [1, 0], "predicted": [1, 1]}]}],
    }


def remove(*keys: str | int) -> Callable[[Any], None]:
    def change(held: Any) -> None:
        for key in keys[:-1]:
            held = held[key]
        del held[keys[-1]]

    return change


DAMAGES = {
    "no answers": remove("answers"),
    "no answer": remove("answers", 0),
    "no about": remove("about"),
    "no classes": remove("classes"),
    "fewer pictures": remove("pictures", 1),
    "no stream": remove("answers", 0, "streams", 0),
    "a prediction less": remove("answers", 0, "streams", 0, "predicted", 0),
    "no strategy": remove("answers", 0, "strategy"),
    "a class less": remove("classes", 1),
    "another kind": lambda held: held.update(pictures=5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_evaluation_is_named(damage: str, tmp_path: Path):
    held, file = written(), tmp_path / "a.json"
    file.write_text(json.dumps(held))
    assert compare(read_evaluation(file), read_evaluation(file)).rows[0].first == 50
    DAMAGES[damage](held)
    file.write_text(json.dumps(held))
    with pytest.raises(BadRequest, match=r"a\.json is a damaged evaluation"):
        read_evaluation(file)


def test_json_that_is_nested_too_deeply_is_no_evaluation(tmp_path: Path):
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(BadRequest, match=r"a\.json is no evaluation"):
        read_evaluation(tmp_path / "a.json")


def with_pictures(pictures: str, right: str) -> dict[str, Any]:
    """An evaluation of pictures whose hashes and labels are letters: capitals are dogs. `right`: 1 for each hit."""
    held = written()
    held["pictures"] = [{"id": one.lower(), "label": int(one.isupper())} for one in pictures]
    predicted = [int(one.isupper()) ^ (hit == "0") for one, hit in zip(pictures, right)]
    held["answers"][0]["streams"] = [{"picture": list(range(len(pictures))), "predicted": predicted}]
    return held


def test_a_picture_that_is_there_twice_is_paired_twice():
    (row,) = compare(with_pictures("aabc", "1101"), with_pictures("bcaa", "0111")).rows
    assert row.difference == row.error == 0
    (row,) = compare(with_pictures("aAb", "010"), with_pictures("Aab", "100")).rows  # one hash in both classes
    assert row.difference == row.error == 0


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [("ab", "aab", "2 of 2 and 3"), ("aab", "ab", "2 of 3 and 2"), ("aab", "abb", "2 of 3 and 3")],
)
def test_pictures_that_are_not_there_equally_often_cannot_be_paired(first: str, second: str, counts: str):
    with pytest.raises(BadRequest, match=f"cannot be paired: {counts} are in both"):
        compare(with_pictures(first, "111"), with_pictures(second, "111"))
