"""From the options of `evaluate` to a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tta_service.core.errors import TTAError
from tta_service.evaluate.command import EvaluationOptions, make_plan
from tta_service.evaluate.pictures import PictureSet

DATA = PictureSet("two", ("a", "b"), np.array([0, 1]), lambda i: bytes([i]))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"shifts": ("rain:1",)}, "shift"),
        ({"shifts": ("fog:x",)}, "shift"),
        ({"order": "sorted"}, "order"),
        ({"lessons": "-1"}, "lessons"),
        ({"strategies": ","}, "strategies"),
    ],
)
def test_a_mistake_names_its_option(given: dict[str, Any], field: str):
    with pytest.raises(TTAError) as caught:
        make_plan(EvaluationOptions("two", Path(), **given), DATA)
    assert caught.value.field == field


def test_clean_pictures_and_each_shift_are_there_once():
    plan = make_plan(EvaluationOptions("two", Path(), "zero_shot", shifts=("fog", "none", "fog:3")), DATA)
    assert [cell.shown for cell in plan.cells] == ["clean", "fog 3"]
