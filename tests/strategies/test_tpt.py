"""What TPT and C-TPT do at the edges and with many classes, on `FakeCLIP`, whose map is known in float64.

The text tower itself: test_tpt_tower.py.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tta_service import Evidence, LabelSet, TextSpace
from tta_service.maths import unit
from tta_service.strategies.c_tpt import CTPT, spread
from tta_service.strategies.tpt import TPT, differentiate, tune
from tta_service.testing import FakeCLIP

from .prompts64 import prompts_in_float64
from .tuning import NAMES, frames, gradient, loss, off, ours, surest


def space(classes: int, scale: float = 100.0) -> TextSpace:
    names = NAMES[:classes] if classes <= len(NAMES) else tuple(f"thing number {i}" for i in range(classes))
    return FakeCLIP(scale=scale).text_space(LabelSet(names))


@pytest.mark.parametrize("kind", [TPT, CTPT])
@pytest.mark.parametrize("classes", [2, 7, 1000])
@pytest.mark.parametrize(("rows", "alike"), [(1, False), (16, False), (16, True)])
def test_one_view_identical_views_and_many_classes(kind, classes, rows, alike):
    text, strategy = space(classes, 20.0), kind(confident=0.3)
    context, encode = prompts_in_float64(text)
    for seen in frames(text, rows, 6, 0.1):
        seen = Evidence(seen.views[:1].repeat(rows, 1), text) if alike else seen
        kept = surest(strategy, seen, encode(context))
        explanation = strategy.explain(seen, None)
        assert alike or explanation["kept"].tolist() == kept.tolist()
        assert len(explanation["kept"]) == len(kept) == max(1, int(0.3 * rows))
        value, expected = gradient(strategy, seen, kept, context, encode)
        assert explanation["loss"] == pytest.approx(value, abs=1e-4)
        step, logits = ours(strategy, seen)
        assert off(step, expected) <= 1e-5
        stepped = context * (1 - 5e-3 * 0.01) - 5e-3 * step.double() / (step.double().abs() + 1e-8)
        plainly = text.scale * encode(stepped) @ seen.views[0].double()
        torch.testing.assert_close(logits.double(), plainly, atol=1e-3, rtol=0)


@pytest.mark.parametrize("strategy", [TPT(), CTPT(dispersion=0.0)], ids=["tpt", "c_tpt"])
def test_entropies_at_the_edges(strategy):
    """A certain image, and one that says nothing: the entropy has no slope there, and no answer turns."""
    text = space(5, 1e4)
    certain = Evidence(text.features[2:3].repeat(8, 1), text)
    logits, explanation = strategy.adapt(certain, None)[0], strategy.explain(certain, None)
    assert explanation["loss"] == 0.0 and int(logits.argmax()) == 2 and logits.isfinite().all()

    text = space(5, 1.0)
    nothing = torch.linalg.svd(text.features).Vh[-1:]  # at right angles to every class
    step, logits = ours(strategy, seen := Evidence(nothing.repeat(8, 1), text))
    assert strategy.explain(seen, None)["loss"] == pytest.approx(float(torch.tensor(5.0).log()), abs=1e-6)
    assert float(step.abs().max()) < 1e-6 and float(logits.abs().max()) < 0.1


@pytest.mark.parametrize("kind", [TPT, CTPT])
def test_several_steps_are_those_of_adamw_in_float64(kind):
    labels = LabelSet(NAMES, ("a photo of a {}.",))
    text = FakeCLIP().text_space(labels)
    context, encode = prompts_in_float64(text)
    strategy = kind(confident=0.3, steps=3)
    for seen in frames(text, 16, 20, 0.1):
        moving = torch.nn.Parameter(context.clone())
        optimiser = torch.optim.AdamW([moving], lr=5e-3, weight_decay=0.01)
        rows = surest(strategy, seen, encode(context))
        for _ in range(3):
            _, moving.grad = gradient(strategy, seen, rows, moving.detach(), encode)
            optimiser.step()
        logits, _ = strategy.adapt(seen, None)
        expected = text.scale * encode(moving.detach()) @ seen.views[0].double()
        torch.testing.assert_close(logits.double(), expected, atol=0.05, rtol=0)


def test_with_several_templates_the_first_is_tuned():
    clip, templates = FakeCLIP(), ("a photo of a {}.", "a drawing of the {}.")
    both, first = (clip.text_space(LabelSet(NAMES, chosen)) for chosen in (templates, templates[:1]))
    for seen in frames(both, 8, 3, 0.1):
        alone = Evidence(seen.views, first)
        for strategy in (TPT(confident=0.5), TPT(steps=0), CTPT(confident=0.5)):
            torch.testing.assert_close(strategy.adapt(seen, None)[0], strategy.adapt(alone, None)[0])
            assert strategy.explain(seen, None)["first_template_only"] == 1  # the reply says so
            assert "first_template_only" not in strategy.explain(alone, None)


@pytest.mark.parametrize("kind", [TPT, CTPT])
def test_one_class_only_decays(kind):
    text = FakeCLIP().text_space(LabelSet(("cat",)))
    seen = Evidence(unit(torch.randn(8, 64)), text)
    logits, _ = kind(weight_decay=0.5, learning_rate=0.5).adapt(seen, None)
    expected = text.scale * text.prompts.encode(0.75 * text.prompts.context) @ seen.views[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_the_spread_of_one_point_has_no_slope():
    features = torch.ones(3, 4, requires_grad=True)
    assert spread(features) == 0 and torch.autograd.grad(spread(features), features)[0].eq(0).all()


def test_classes_left_out_of_a_thousand_change_nothing():
    text = FakeCLIP().text_space(LabelSet(tuple(f"thing number {i}" for i in range(1000))))
    context, encode = prompts_in_float64(text)
    for seen in frames(text, 16, 8, 0.1):
        rows = surest(TPT(confident=0.3), seen, encode(context))
        _, plainly = gradient(TPT(), seen, rows, context, encode)
        of = partial(loss, TPT(), seen, rows)
        every, some = differentiate(of, text.features, False), differentiate(of, text.features, True)
        left_out = int(some.eq(0).all(1).sum())
        whole, spared = text.prompts.gradient(every), text.prompts.gradient(some)
        assert 0 < left_out < 1000
        assert off(spared, whole.double()) <= 1e-5
        assert off(spared, plainly) <= 5e-5


def test_a_gradient_that_is_not_finite_ends_the_tuning():
    text = FakeCLIP().text_space(LabelSet(NAMES))
    wrong = TextSpace(text.labels, text.features, text.scale, lambda: NaN(text))
    context = tune(wrong, text.features, lambda features: features.sum(), 2, 5e-3)
    assert torch.equal(context, text.prompts.context)


class NaN:
    """Prompts whose gradient is lost."""

    def __init__(self, text: TextSpace) -> None:
        self.context, self.encode = text.prompts.context, text.prompts.encode

    def gradient(self, d_features):
        return torch.full_like(self.context, torch.nan)
