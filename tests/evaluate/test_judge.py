"""The rule that recommends a strategy, on trials whose truth is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tta_service.evaluate.advise.judge import Rule, Trial, estimate_gain, judge
from tta_service.strategies import catalogue

N, C = 256, 8


def trial(name: str, labels: Tensor, plain: Tensor, unseen: Tensor, seconds: float = 0.01, again: Tensor | None = None):
    again = labels if again is None else again
    return Trial(catalogue.build(name), labels, plain, again, unseen, 0.5, 1, seconds)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """True labels, plain answers right for three of four, and what crops believe: the truth at 0.6."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(C, (N,), generator=draw)
    plain = torch.where(torch.rand(N, generator=draw) < 0.75, truth, (truth + 1) % C)
    unseen = torch.full((N, C), 0.4 / (C - 1)).scatter(1, truth[:, None], 0.6)
    return truth, plain, unseen


def corrected(truth: Tensor, plain: Tensor, share: float) -> Tensor:
    """Plain answers, some of the wrong ones put right."""
    wrong = (plain != truth).nonzero().flatten()
    better = plain.clone()
    better[wrong[: int(share * len(wrong))]] = truth[wrong[: int(share * len(wrong))]]
    return better


def test_a_strategy_with_which_unseen_crops_agree_is_taken():
    truth, plain, unseen = scene()
    better = corrected(truth, plain, 0.5)
    advice = judge([trial("zero_shot", plain, plain, unseen), trial("mta", better, plain, unseen)])
    assert advice.opinion.name == "mta"
    changed = (better != plain).double().mean()
    assert advice.opinion.gain == pytest.approx(float(changed) * (0.6 - 0.4 / 7), rel=1e-4)
    assert "side with it" in " ".join(advice.reasons)


def test_a_strategy_that_hurts_is_named_and_plain_clip_stays():
    truth, plain, unseen = scene()
    worse = torch.where(torch.arange(N) % 4 == 0, (truth + 3) % C, plain)
    advice = judge([trial("zero_shot", plain, plain, unseen), trial("oga", worse, plain, unseen)])
    assert advice.opinion.name == "zero_shot"
    assert any("hurt" in reason and "oga" in reason for reason in advice.reasons)


def test_a_gain_that_chance_may_bring_is_not_believed():
    truth, plain, unseen = scene()
    swapped = plain.clone()
    some = (plain != truth).nonzero().flatten()[:2]
    swapped[some] = truth[some]  # two answers of 256
    trials = [trial("zero_shot", plain, plain, unseen), trial("mta", swapped, plain, unseen)]
    assert judge(trials).opinion.name == "zero_shot"
    assert estimate_gain(trials[1])[0] > 0
    assert judge(trials, rule=Rule(sure=1.0)).opinion.name == "mta"


def test_the_cheapest_of_those_that_are_as_good():
    truth, plain, unseen = scene()
    better, best = corrected(truth, plain, 0.60), corrected(truth, plain, 0.61)
    trials = [
        trial("zero_shot", plain, plain, unseen),
        trial("tpt", best, plain, unseen, 0.4),
        trial("tda", better, plain, unseen, 0.02),
    ]
    advice = judge(trials)
    assert advice.opinion.name == "tda"
    assert any("Dearer" in reason and "tpt" in reason for reason in advice.reasons)
    much = [trials[0], trials[1], trial("tda", corrected(truth, plain, 0.3), plain, unseen, 0.02)]
    assert judge(much).opinion.name == "tpt"


def test_a_deadline_rules_out_strategies_and_names_them():
    truth, plain, unseen = scene()
    trials = [trial("zero_shot", plain, plain, unseen), trial("tpt", corrected(truth, plain, 0.5), plain, unseen, 0.4)]
    advice = judge(trials, deadline=0.05)
    assert advice.opinion.name == "zero_shot"
    assert "Too slow of the 50 ms that you allow: tpt." in advice.reasons
    assert judge(trials, deadline=0.5).opinion.name == "tpt"


def test_answers_that_depend_on_the_seed_are_not_believed():
    truth, plain, unseen = scene()
    better = corrected(truth, plain, 0.5)
    trials = [trial("zero_shot", plain, plain, unseen), trial("mta", better, plain, unseen, again=plain)]
    advice = judge(trials)
    assert advice.opinion.name == "zero_shot" and not advice.opinions[1].believed
    assert advice.opinions[1].stable == pytest.approx(float((better == plain).double().mean()))


def test_plain_clip_alone_is_an_answer():
    _, plain, unseen = scene()
    advice = judge([trial("zero_shot", plain, plain, unseen)])
    assert advice.opinion.gain == 0 and advice.opinion.stable == 1 and len(advice.reasons) >= 2
