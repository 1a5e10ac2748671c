"""The data that defaults may be chosen on, and the verdict on the advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy.judge_evidence import looked_at
from benchmarks.accuracy.judge_shown import Verdict, sentence
from benchmarks.accuracy.tune import MOST, candidates
from tta_service.evaluate.contenders import ALL, Contender

CHOOSES_NOTHING = {"zero_shot", "scenes"}  # scenes: what it keeps a memory of each kind for does


def test_every_strategy_has_the_same_budget():
    found = candidates()
    assert set(found) == {Contender.of(text).strategy for text in ALL} - CHOOSES_NOTHING
    (budget,) = {len(some) for some in found.values()}
    assert 2 <= budget <= MOST
    for name, some in found.items():
        replaced = {"boost_adapter": {"summary": "plain"}, "mean": {"confident": 0.1}}  # by what won on the tune split
        assert some[0].parameters == replaced.get(name, {})  # the published default comes first
        assert len({one.digest for one in some}) == budget  # no two of them are the same


def test_fewer_views_are_fewer_for_all_candidates_that_take_the_usual_number():
    found = candidates(views=16)
    assert {one.needs.views for one in found["mean"] + found["tpt"] + found["boost_adapter"]} == {16}
    assert {one.needs.views for one in found["tda"]} == {1}
    assert {one.needs.views for one in found["vb_weights"]} == {10}


def test_unequal_budgets_are_refused(tmp_path: Path):
    file = tmp_path / "some.toml"
    file.write_text('[candidates]\nmean = ["mean", "mean:confident=0.5"]\nmta = ["mta"]\n')
    with pytest.raises(ValueError, match="mean 2, mta 1"):
        candidates(file)
    file.write_text('[candidates]\nmean = ["mean", "zero"]\n')
    with pytest.raises(ValueError, match="published one first"):
        candidates(file)


def test_the_advice_looks_at_as_many_as_the_command_does_and_leaves_as_many():
    assert [looked_at(count) for count in (24, 500, 512, 10_000)] == [12, 250, 256, 256]


def verdict(gain: float, saved: float, cost: float) -> Verdict:
    return Verdict(None, 9, 50.0, 50.0 + gain, 50.0 + gain - saved, 60.0, gain, 1.0, saved, 1.0, cost)


@pytest.mark.parametrize(
    ("gain", "saved", "cost", "text"),
    [(3.0, 3.0, 0.4, "The advice pays."), (1.9, 3.0, 0.4, "not"), (3.0, 1.9, 0.4, "not"), (3.0, 3.0, 0.6, "not")],
)
def test_the_advice_pays_only_where_it_beats_both_and_costs_half(gain: float, saved: float, cost: float, text: str):
    assert sentence(verdict(gain, saved, cost)).endswith(text if text != "not" else "The advice does not pay.")
