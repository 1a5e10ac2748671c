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
