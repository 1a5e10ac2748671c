"""Strategies that work on text, with unusual names in any order."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.clip.small import small, tokenizer
from tta_service import LabelSet
from tta_service.clip.model import FrozenCLIP
from tta_service.core.errors import BadLabels, BadParameters
from tta_service.strategies import catalogue
from tta_service.testing import FakeCLIP
from tta_service.testing.scenes import begin, frames, stream

FEW = {"self_tpt": {"steps": 2}, "cutmixout": {"copies": 6, "span": 1.0}}
CONTEXT = 24  # tokens
LONG = " ".join(["dog"] * (CONTEXT - 2))  # just fits where the template adds nothing
ODD = ["cat", "Cat", "CAT", "red_car", "red car", "dog", "!", "...", "?!", "'s", "&nbsp;", "\x01", "\u200b", "猫"]
ODD += ["🐈🐈", "{}", "<end_of_text>", "e\u0301", " dog ", "x" * 40, LONG, LONG[4:] + "!", LONG[24:], "Käse, alt."]
TEMPLATES = ("a photo of a {}.", "{}", "{} here", "a drawing of {}, in ink.", "it is {}!")


@cache
def tower() -> FrozenCLIP:
    clip = small(text={"context_length": CONTEXT})
    clip.tokenize = tokenizer(CONTEXT)
    return clip


@pytest.mark.parametrize("name", FEW)
@given(
    st.lists(st.sampled_from(ODD) | st.text(max_size=12), min_size=1, max_size=6),
    st.lists(st.sampled_from(TEMPLATES), min_size=1, max_size=2),
)
def test_names_that_zero_shot_accepts_are_accepted_or_named_in_the_error(name, names, templates):
    try:
        space = tower().text_space(LabelSet(tuple(names), tuple(templates), allow_duplicates=True))
    except BadLabels:
        return  # zero_shot refuses it too
    try:
        features = catalogue.build(name, FEW[name]).begin(space).features
    except BadParameters as refused:
        assert name == "self_tpt" and not templates[0].startswith("a photo")
        if refused.field != "templates[0]":
            place = int(refused.field.removeprefix("names[").removesuffix("]"))
            assert f"label {place} ({names[place]!r})" in refused.message
        return
    assert features.isfinite().all() and features.shape == space.features.shape
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(names)))


@given(st.lists(st.sampled_from(["cat", "Cat", "dog", "red_car", "tram"]), min_size=1, max_size=6), st.randoms())
def test_self_tpt_answers_alike_in_any_order(names, draw):
    places = draw.sample(range(len(names)), len(names))
    one, other = (prototypes([names[place] for place in some]) for some in (range(len(names)), places))
    torch.testing.assert_close(other, one[places], atol=1e-4, rtol=0)


def prototypes(names: list[str]) -> torch.Tensor:
    space = FakeCLIP().text_space(LabelSet(tuple(names), allow_duplicates=True))
    return catalogue.build("self_tpt", {}).begin(space).features


def test_classes_of_one_name_alone_are_not_tuned():
    space = FakeCLIP().text_space(LabelSet(("cat", "Cat", "cat"), allow_duplicates=True))
    tuned, plain = (catalogue.build("self_tpt", {"steps": steps}).begin(space).features for steps in (10, 0))
    assert torch.equal(tuned, plain)


def test_copies_that_grow_too_long_lose_their_end():
    templates = ("a " * 20 + "{}.", "xqzvwkjx xqzvwkjx xqzvwkjx {}")
    space = tower().text_space(LabelSet(("cat", "dog"), templates))
    strategy = catalogue.build("cutmixout", {"copies": 20, "span": 1.0, "p_cutmix": 1.0, "p_cutout": 0.0})
    with pytest.raises(BadLabels, match="this text tower reads 24"):
        tower().text_space(LabelSet(tuple(strategy.texts(space.labels, 0)), ("{}",), allow_duplicates=True))
    assert strategy.begin(space).features.isfinite().all()


@pytest.mark.parametrize("name", catalogue.names())
def test_every_strategy_answers_for_classes_of_one_name(name):
    labels = LabelSet(("crane", "cat", "crane", "missile", "missile"), allow_duplicates=True)
    text, strategy = FakeCLIP(dimension=32).text_space(labels), catalogue.build(name, {})
    answers, _ = stream(strategy, frames(strategy, text, 6), begin(strategy, text))
    assert all(not answer.isnan().any() and answer.max().isfinite() for answer in answers)
