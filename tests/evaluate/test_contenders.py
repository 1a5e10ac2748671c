"""Which contenders the table has, and which row each is compared with."""

from __future__ import annotations

import pytest

from tta_service.cli.options import build
from tta_service.core.errors import BadParameters, UnknownStrategy
from tta_service.evaluate.contenders import ALL, TAUGHT, Contender, parse_contenders
from tta_service.strategies import catalogue


def test_every_strategy_takes_part():
    assert {Contender.of(text).strategy for text in (*ALL, *TAUGHT)} == set(catalogue.names())


def test_words_to_parameters_and_back():
    one = Contender.of("boost_adapter:views=16,summary=plain,negative=false")
    assert one.parameters == {"views": 16, "summary": "plain", "negative": False}
    assert Contender.of(str(one)) == one
    with pytest.raises(BadParameters, match="colour"):
        Contender.of("tda:colour=1")
    with pytest.raises(UnknownStrategy):
        Contender.of("magic")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000])
def test_a_value_that_json_cannot_hold_is_no_number(value: str):
    with pytest.raises(BadParameters, match="alpha"):
        Contender.of(f"tda:alpha={value}")
    with pytest.raises(BadParameters, match="alpha"):
        build(catalogue, "tda", [f"alpha={value}"])


def test_view_based_ones_stand_beside_mean_and_caches_beside_their_one_view_form():
    beside = {name: str(Contender.of(name).beside) for name in ("mta", "zero:views=16", "tpt:augment=augmix")}
    assert beside == {"mta": "mean", "zero:views=16": "mean:views=16", "tpt:augment=augmix": "mean:augment=augmix"}
    assert str(Contender.of("tda:views=64,alpha=1.0").beside) == "tda:alpha=1.0"
    for alone in ("zero_shot", "mean", "tda", "stata", "vb_weights", "self_tpt", "swap_prompt"):
        assert Contender.of(alone).beside is None


def test_lists_hold_what_their_members_stand_beside_once_each():
    names = [str(one) for one in parse_contenders(["mta", "tda", "tda:views=64"])]
    assert names[0] == "zero_shot"
    assert sorted(names) == ["mean", "mta", "tda", "tda:views=64", "zero_shot"]


def test_a_changed_parameter_is_another_contender():
    assert Contender.of("tda") == Contender.of("tda:alpha=2.0") != Contender.of("tda:alpha=1.0")
    assert Contender.of("tda").digest != Contender.of("tda:alpha=1.0").digest
