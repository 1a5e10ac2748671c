"""TPT and C-TPT against the plain way in float64, on a small open_clip model and on `FakeCLIP`."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

from tta_service import Evidence, LabelSet, TextSpace
from tta_service.maths import confident_rows, unit
from tta_service.strategies.c_tpt import CTPT, spread
from tta_service.strategies.tpt import TPT, _pull, tuned
from tta_service.testing import FakeCLIP

from ..clip.small import small, small_model, tokenizer
from .prompts64 import doubled, padded

NAMES = ("cat", "red_car", "photocopier", "great white shark", "xylophone_player", "a tin of paint", "tram")
TEMPLATES = ("a photo of a {}.", "a {} photo of the.", "a picture: {} in the fog", "an encyclopaedic photo of a {}.")
SCALE = 100.0


@lru_cache(maxsize=4)
def opened(template: str) -> tuple[TextSpace, torch.Tensor, object]:
    """A text space of the small open_clip model at scale 100, and the plain way through it."""
    labels = LabelSet(NAMES, (template,))
    text = small().text_space(labels)
    text = TextSpace(labels, text.features, SCALE, lambda prompts=text.prompts: prompts)
    return text, *padded(small_model(), tokenizer(), labels)


def frames(text: TextSpace, rows: int, count: int, spreading: float = 0.4) -> list[Evidence]:
    made = []
    for seed in range(count):
        draw = torch.Generator().manual_seed(seed)
        features = text.features - text.features.mean(0)
        plain = text.features[seed % len(NAMES)] + 0.5 * torch.randn(features.shape[1], generator=draw)
        spread = spreading * torch.rand(rows, 1, generator=draw) * torch.randn(rows, features.shape[1], generator=draw)
        made.append(Evidence(unit(plain + spread), text))
    return made


def loss64(strategy: TPT | CTPT, seen: Evidence, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of methods.md §1 step 4 (§2) in float64 and the views that it is taken over."""
    p = (seen.text.scale * seen.views.double() @ features.T).softmax(-1)
    entropies = -(p * p.clamp_min(1e-300).log()).sum(-1)
    rows = entropies.argsort(stable=True)[: max(1, int(len(p) * strategy.confident))].detach()
    mean = p[rows].mean(0)
    loss = -(mean * mean.log()).sum()
    if isinstance(strategy, CTPT):
        apart = features - features.mean(0)
        loss = loss - strategy.dispersion * apart.norm(dim=-1).mean()
    return loss, rows


def gradient64(strategy, seen, context, encode):
    moving = context.clone().requires_grad_()
    loss, rows = loss64(strategy, seen, encode(moving))
    return float(loss.detach()), rows, torch.autograd.grad(loss, moving)[0]


def ours(strategy: TPT | CTPT, seen: Evidence) -> torch.Tensor:
    """Our loss as the strategy builds it, its pull and its gradient on the context."""
    captured = {}

    class Listening:
        context = seen.text.prompts.context
        encode = staticmethod(seen.text.prompts.encode)

        @staticmethod
        def gradient(pull):
            captured["gradient"] = seen.text.prompts.gradient(pull)
            return captured["gradient"]

    text = TextSpace(seen.text.labels, seen.text.features, seen.text.scale, Listening)
    captured["logits"], _ = strategy.adapt(Evidence(seen.views, text), None)
    return captured["gradient"], captured["logits"]


@pytest.mark.parametrize("strategy", [TPT(confident=0.3), CTPT(confident=0.3)], ids=["tpt", "c_tpt"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_gradient_selection_and_loss_are_those_of_the_plain_way(template, strategy):
    text, context, encode = opened(template)
    torch.testing.assert_close(text.prompts.context.double(), context)
    torch.testing.assert_close(text.features.double(), encode(context).detach(), atol=1e-6, rtol=0)
    for seen in frames(text, 16, 6):
        loss, rows, expected = gradient64(strategy, seen, context, encode)
        gradient, _ = ours(strategy, seen)
        told = strategy.explain(seen, None)
        assert told["kept"].tolist() == rows.tolist()
        assert told["loss"] == pytest.approx(loss, abs=1e-4)
        # all in float64 from the tokens on; then from the same float32 features, whose rounding a scale of 100 blows up
        assert float((gradient.double() - expected).abs().max()) <= 5e-5 * float(expected.abs().max())
        given = text.features.double().requires_grad_()
        (pull,) = torch.autograd.grad(loss64(strategy, seen, given)[0], given)
        moving = context.clone().requires_grad_()
        (expected,) = torch.autograd.grad(encode(moving), moving, pull)
        assert float((gradient.double() - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("strategy", [TPT(confident=0.3), CTPT(confident=0.3)], ids=["tpt", "c_tpt"])
def test_two_hundred_images_end_where_adamw_says(strategy):
    """Final logits for our own context equal the plain way's; contexts agree wherever the gradient is not noise."""
    text, context, encode = opened(TEMPLATES[0])
    flips = 0
    for seen in frames(text, 16, 200):
        gradient, logits = ours(strategy, seen)
        expected = context * (1 - 5e-3 * 0.01) - 5e-3 * gradient.double() / (gradient.double().abs() + 1e-8)
        with torch.no_grad():
            plainly = SCALE * encode(expected) @ seen.views[0].double()
        torch.testing.assert_close(logits.double(), plainly, atol=5e-3, rtol=0)
        flips += int(logits.argmax()) != int(seen.logits()[0].argmax())
    assert flips > 3, "tuning that changes no answer proves little"


@pytest.mark.parametrize("kind", [TPT, CTPT])
def test_several_steps_are_those_of_adamw_in_float64(kind):
    labels = LabelSet(NAMES, ("a photo of a {}.",))
    text = FakeCLIP().text_space(labels)
    context, encode = doubled(text)
    strategy = kind(confident=0.3, steps=3)
    for seen in frames(text, 16, 20, 0.1):
        moving = torch.nn.Parameter(context.clone())
        optimiser = torch.optim.AdamW([moving], lr=5e-3, weight_decay=0.01)
        _, rows = loss64(strategy, seen, encode(context))
        for _ in range(3):
            features = encode(moving)
            mean = (text.scale * seen.views[rows].double() @ features.T).softmax(-1).mean(0)
            loss = -(mean * mean.log()).sum()
            if kind is CTPT:
                loss = loss - 50 * (features - features.mean(0)).norm(dim=-1).mean()
            moving.grad = torch.autograd.grad(loss, moving)[0]
            optimiser.step()
        logits, _ = strategy.adapt(seen, None)
        expected = text.scale * encode(moving.detach()) @ seen.views[0].double()
        torch.testing.assert_close(logits.double(), expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("strategy", [TPT(learning_rate=0.0), TPT(steps=0), CTPT(learning_rate=0.0), CTPT(steps=0)])
def test_without_a_step_it_is_zero_shot(strategy):
    text, *_ = opened(TEMPLATES[0])
    for seen in frames(text, 8, 3):
        torch.testing.assert_close(strategy.adapt(seen, None)[0], seen.logits()[0], atol=1e-4, rtol=0)


def test_with_several_templates_the_first_is_tuned():
    clip, templates = FakeCLIP(), ("a photo of a {}.", "a drawing of the {}.")
    both, first = (clip.text_space(LabelSet(NAMES, chosen)) for chosen in (templates, templates[:1]))
    for seen in frames(both, 8, 3, 0.1):
        alone = Evidence(seen.views, first)
        for strategy in (TPT(confident=0.5), TPT(steps=0), CTPT(confident=0.5)):
            torch.testing.assert_close(strategy.adapt(seen, None)[0], strategy.adapt(alone, None)[0])


@pytest.mark.parametrize("kind", [TPT, CTPT])
def test_one_class_only_decays(kind):
    text = FakeCLIP().text_space(LabelSet(("cat",)))
    seen = Evidence(unit(torch.randn(8, 64)), text)
    logits, _ = kind(weight_decay=0.5, learning_rate=0.5).adapt(seen, None)
    expected = text.scale * text.prompts.encode(0.75 * text.prompts.context) @ seen.views[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_without_dispersion_c_tpt_is_tpt():
    text, *_ = opened(TEMPLATES[0])
    for seen in frames(text, 12, 5):
        one, two = TPT(confident=0.5).adapt(seen, None)[0], CTPT(confident=0.5, dispersion=0.0).adapt(seen, None)[0]
        torch.testing.assert_close(one, two)


def test_the_spread_of_one_point_has_no_slope():
    features = torch.ones(3, 4, requires_grad=True)
    assert spread(features) == 0 and torch.autograd.grad(spread(features), features)[0].eq(0).all()


def test_classes_left_out_of_a_thousand_change_nothing():
    text = FakeCLIP().text_space(LabelSet(tuple(f"thing number {i}" for i in range(1000))))
    context, encode = doubled(text)
    for seen in frames(text, 16, 8, 0.1):
        _, _, plainly = gradient64(TPT(confident=0.3), seen, context, encode)
        views = seen.views[confident_rows(seen, 0.3)].double()

        def loss(features, views=views):
            mean = (text.scale * views @ features.T).softmax(-1).mean(0)
            return -(mean * mean.clamp_min(1e-38).log()).sum()

        every, some = _pull(loss, text.features, False), _pull(loss, text.features, True)
        left_out = int(some.eq(0).all(1).sum())
        gradient, spared = text.prompts.gradient(every), text.prompts.gradient(some)
        assert 0 < left_out < 1000
        assert float((gradient - spared).abs().max()) <= 1e-5 * float(gradient.abs().max())
        assert float((plainly - spared).abs().max()) <= 5e-5 * float(gradient.abs().max())


def test_a_gradient_that_is_not_finite_ends_the_tuning():
    text = FakeCLIP().text_space(LabelSet(NAMES))
    wrong = TextSpace(text.labels, text.features, text.scale, lambda: NaN(text))
    context = tuned(wrong, text.features, lambda features: features.sum(), 2, 5e-3)
    assert torch.equal(context, text.prompts.context)


class NaN:
    """Prompts whose gradient is lost."""

    def __init__(self, text: TextSpace) -> None:
        self.context, self.encode = text.prompts.context, text.prompts.encode

    def gradient(self, d_features):
        return torch.full_like(self.context, torch.nan)
