from __future__ import annotations

import pytest

from tta_service.app.runtime import parse_reducers
from tta_service.core.errors import BadParameters, UnknownReducer
from tta_service.reducers.evit import EViT
from tta_service.reducers.none import NoReduction
from tta_service.reducers.tome import ToMe
from tta_service.settings import BadSettings


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        ("", "none", (NoReduction(),)),
        ("tome", "none", (NoReduction(), ToMe())),
        ("", "tome", (ToMe(),)),
        (
            " tome:keep=0.5 , evit:keep=0.6:fuse=sum",
            "none",
            (NoReduction(), ToMe(keep=0.5), EViT(keep=0.6, fuse="sum")),
        ),
        ("tome,tome:keep=0.7,none", "none", (NoReduction(), ToMe())),
    ],
)
def test_reducers_by_name_and_parameters(text, default, expected):
    assert parse_reducers(text, default) == expected


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("magic", UnknownReducer, "no reducer is called 'magic'"),
        ("tome:keep=7", BadParameters, "keep: input should be less than or equal to 1"),
        ("tome:kept=0.5", BadParameters, "unknown parameter 'kept'"),
        ("tome:0.5", BadSettings, "write a reducer as NAME:PARAMETER=VALUE, got 'tome:0.5'"),
    ],
)
def test_mistakes_are_named(text, error, sentence):
    with pytest.raises(error, match=sentence):
        parse_reducers(text, "none")
