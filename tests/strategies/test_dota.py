from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.strategies.dota import DOTA
from tta_service.strategies.dota_covariance import (
    Compact,
    Exact,
    begin_compact,
    error_bound,
    shared_covariance,
)

from .streams import Margin, answers, derive_answers, entropy, softmax, space, stream


class Everything:
    """DOTA as published: all C covariances in float64."""

    def __init__(self, o: DOTA, classes: int, d: int) -> None:
        self.o, self.mean, self.count = o, np.full((classes, d), 1e-3), np.ones(classes)
        self.covariances = np.stack([o.sigma * np.eye(d)] * classes)
        self.precision = np.eye(d) / o.sigma

    def answer(self, views, t, s, margin):
        z = s * views @ t.T
        kept = margin.surest(entropy(softmax(z)), max(1, int(len(z) * self.o.confident)))
        f, y = views[kept].mean(0), softmax(z[kept])
        g = self.mean @ self.precision @ f - 0.5 * np.einsum("cd,de,ce->c", self.mean, self.precision, self.mean)
        out = z[kept].mean(0) + min(self.o.rho * self.count.mean() / len(kept), self.o.eta) * g
        self.learn(views[kept], y)
        return out

    def learn(self, rows, y):
        sums, old = y.sum(0), self.count
        delta = rows[:, None] - self.mean  # [k, c, d]
        outer = np.einsum("kc,kcd,kce->cde", y, delta, delta)
        new = (old + sums)[:, None, None]
        self.covariances = (old[:, None, None] * self.covariances + outer) / new
        self.mean = (old[:, None] * self.mean + y.T @ rows) / (old + sums)[:, None]
        self.count = old + sums
        a = (1 - self.o.epsilon) * self.covariances.mean(0) + self.o.epsilon * np.eye(rows.shape[1])
        self.precision = np.linalg.inv(a)


def derivation(o: DOTA):
    def run(frames, t, s, margin):
        exact = Everything(o, *t.shape)
        for views in frames:
            yield exact.answer(views, t, s, margin)

    return run


CASES = [
    (7, 24, 1, DOTA(rho=0.05)),
    (7, 16, 10, DOTA(confident=0.3, eta=1.0, rho=0.05, epsilon=1e-2)),
    (2, 16, 1, DOTA()),
    (1, 8, 3, DOTA()),
    pytest.param(1000, 12, 1, DOTA(eta=1.0, rho=0.5, sigma=0.02), marks=pytest.mark.large),
]


@pytest.mark.parametrize("classes, d, rows, strategy", CASES)
def test_equals_the_formula(classes, d, rows, strategy):
    frames, expected = derive_answers(
        derivation(strategy), space(classes, d=d, scale=30.0 if rows > 1 else 100.0), rows, 200
    )
    assert isinstance(strategy.begin(frames[0].text), Exact)
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-2)


def play(strategy: DOTA, text: TextSpace, frames: list[Evidence], memory: Compact, every: int):
    """The compact form beside the exact one: yields both, the answers and the error of the covariance now and then."""
    exact = Everything(strategy, *text.features.shape)
    t, margin = text.features.double().numpy(), Margin()
    for i, seen in enumerate(frames):
        expected = exact.answer(seen.views.double().numpy(), t, text.scale, margin)
        logits, memory = strategy.adapt(seen, memory)
        if i % every == every - 1:
            ours = shared_covariance(memory, strategy.sigma).numpy()
            yield np.linalg.norm(ours - exact.covariances.mean(0), 2), error_bound(memory), logits.numpy(), expected


@pytest.mark.parametrize("classes, rows, kept", [(60, 1, 16), (60, 8, 4), (9, 1, 2)])
def test_the_compact_form_keeps_its_bound(classes, rows, kept):
    text = space(classes, d=32)
    strategy = DOTA(rows=kept, views=rows, confident=0.4)
    gaps, bounds = [], []
    for gap, bound, *_ in play(
        strategy, text, stream(text, rows, 400, 1), begin_compact(classes, 32, strategy.sigma, kept), 50
    ):
        assert gap <= bound + 1e-6, f"the covariance is {gap} off, more than the bound {bound}"
        gaps.append(gap), bounds.append(bound)
    assert max(gaps) > 1e-6 and max(bounds) < 4, "rows have left, and the bound says more than that norms are bounded"


def test_the_precision_is_no_further_off_than_the_covariance_allows():
    """‖Λ̂ − Λ‖ ≤ (1−ε)·‖Λ‖·‖Λ̂‖·‖Â − A‖, and with it what a frame's answer can be off."""
    text, strategy = space(60, d=32), DOTA(rows=4, epsilon=1e-2)
    memory, margin = begin_compact(60, 32, strategy.sigma, 4), Margin()
    exact, t = Everything(strategy, 60, 32), text.features.double().numpy()
    for seen in stream(text, 1, 300, 1):
        exact.answer(seen.views.double().numpy(), t, text.scale, margin)
        _, memory = strategy.adapt(seen, memory)
    ours = np.linalg.inv((factor := memory.factor.double().numpy()) @ factor.T)
    size = partial(np.linalg.norm, ord=2)
    most = (1 - strategy.epsilon) * size(exact.precision) * size(ours) * error_bound(memory)
    assert 1e-3 < size(ours - exact.precision) <= most


def test_the_compact_form_is_exact_while_nothing_has_left():
    text = space(40, d=24, scale=15.0)  # doubtful frames: every class is touched, none insignificantly
    strategy = DOTA(rows=64, eta=1.0, rho=0.05)
    memory = begin_compact(40, 24, strategy.sigma, 64)
    for gap, _, logits, expected in play(strategy, text, stream(text, 1, 60, 2), memory, 5):
        assert gap < 1e-5
        np.testing.assert_allclose(logits, expected, atol=2e-2)
    assert float(memory.moved.sum()) == 0 and float(memory.dropped.sum()) < 0.02


def test_the_answers_of_both_forms_agree():
    text = space(60, d=32)
    strategy = DOTA(rho=0.05)
    differences, effects = [], []
    frames = stream(text, 1, 400, 3)
    memory = begin_compact(60, 32, strategy.sigma, 16)
    for i, (_, _, logits, expected) in enumerate(play(strategy, text, frames, memory, 1)):
        differences.append(logits - expected)
        effects.append(expected - frames[i].logits()[0].numpy())
    rms = np.sqrt(np.mean(np.square(differences))), np.sqrt(np.mean(np.square(effects)))
    assert rms[0] < 0.1 * rms[1], f"the error {rms[0]} is not small beside what DOTA does, {rms[1]}"


def test_the_compact_form_is_chosen_for_many_classes():
    assert isinstance(DOTA().begin(TextSpace.of(torch.randn(64, 512))), Exact)
    assert isinstance(DOTA().begin(TextSpace.of(torch.randn(65, 512))), Compact)


def test_the_first_answer_ranks_as_zero_shot():
    text = space(9, d=16)
    for seen in stream(text, 1, 10, 0):
        logits, _ = DOTA().adapt(seen, DOTA().begin(text))
        assert torch.equal(logits.argsort(), seen.logits()[0].argsort())


def test_without_weight_it_is_zero_shot():
    frames = stream(space(6), 1, 40, 0)
    zero_shot = np.stack([seen.logits()[0].numpy() for seen in frames])
    np.testing.assert_array_equal(answers(DOTA(eta=0.0), frames), zero_shot)


def test_a_compact_snapshot_restores_bit_for_bit():
    text, strategy = space(30, d=16), DOTA(rows=3)
    frames, memory = stream(text, 1, 160, 3), begin_compact(30, 16, strategy.sigma, 3)
    for seen in frames[:80]:
        _, memory = strategy.adapt(seen, memory)
    empty = begin_compact(30, 16, strategy.sigma, 3)
    restored = fill(empty, {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in frames[80:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)
    assert float(memory.moved.sum()) > 0


def test_a_thousand_classes_fit_into_forty_megabytes():
    c, d, r = 1000, 512, 16
    expected = 4 * (c * d + c * r * d + c * r + 5 * c + d * d + 1) + 8 * (2 * d * d + 1)
    assert nbytes(DOTA().begin(TextSpace.of(torch.randn(c, d)))) == expected < 42e6
    c, d = 20, 32
    assert nbytes(DOTA().begin(TextSpace.of(torch.randn(c, d)))) == 4 * (c * d + 2 * c + c * d * d + d * d)
