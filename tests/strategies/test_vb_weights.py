from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import psi

from tta_service import Evidence
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.maths import unit
from tta_service.strategies.vb_weights import VBWeights

from .streams import answers, derive_answers, softmax, space, stream


def derivation(o: VBWeights):
    """The formula with a list of evidence."""

    def run(frames, t, s, margin):
        w, held = np.full(10, 0.1), []
        for views in frames:
            z = s * views @ t.T
            log_p = z - z.max(1, keepdims=True)
            log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
            shifted = log_p.max(0)
            yield shifted + np.log((w[:, None] * np.exp(log_p - shifted)).sum(0))
            q = softmax(z).mean(0)
            held.append([sum(q[c] * row[c] for c in range(len(t))) for row in log_p])
            if len(held) < o.warmup:
                continue
            e = np.array(held[-o.window :])
            alpha = np.full(10, o.prior + len(e) / 10)
            for _ in range(o.iterations):
                r = softmax(psi(alpha) - psi(alpha.sum()) + e)
                new = o.prior + r.sum(0)
                done = np.abs(new - alpha).max() < 1e-6 * len(e)
                alpha = new
                if done:
                    break
            w = alpha / alpha.sum()

    return run


CASES = [
    (7, VBWeights()),
    (2, VBWeights(window=20, warmup=3)),
    (1, VBWeights(warmup=0)),
    (100, VBWeights(prior=0.3, iterations=7, window=10)),
    (1000, VBWeights(prior=20.0)),
]


@pytest.mark.parametrize("classes, strategy", CASES)
def test_equals_the_formula(classes, strategy):
    frames, expected = derive_answers(derivation(strategy), space(classes), 10, 220)
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-3)


def test_equal_views_weigh_the_same_and_answer_zero_shot():
    text, strategy = space(6), VBWeights(warmup=2)
    memory = strategy.begin(text)
    for seen in stream(text, 1, 40, 0):
        logits, memory = strategy.adapt(Evidence(seen.views.repeat(10, 1), text), memory)
        torch.testing.assert_close(logits, seen.logits()[0].log_softmax(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(memory.weights, torch.full((10,), 0.1))


def test_a_view_of_something_else_loses_its_weight():
    text, strategy = space(8), VBWeights()
    draw, memory = torch.Generator().manual_seed(1), strategy.begin(text)
    for i in range(64):
        rows = text.features[i % 8] + 0.02 * torch.randn(10, 48, generator=draw)
        rows[4] = text.features[int(torch.randint(8, (), generator=draw))]
        _, memory = strategy.adapt(Evidence(unit(rows), text), memory)
    assert int(memory.weights.argmin()) == 4
    assert float(memory.weights[4]) < 0.05
    assert float(memory.weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("rows", [1, 2, 9, 11])
def test_another_number_of_views_is_averaged_and_changes_no_memory(rows):
    text, strategy = space(5), VBWeights()
    memory = strategy.begin(text)
    for seen in stream(text, 10, 20, 0):
        _, memory = strategy.adapt(seen, memory)
    before = {name: tensor.clone() for name, tensor in tensors(memory).items()}
    seen = stream(text, rows, 1, 5)[0]
    logits, memory = strategy.adapt(seen, memory)
    mean = seen.logits().double().softmax(-1).mean(0).log()
    torch.testing.assert_close(logits.double(), mean, atol=1e-3, rtol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(memory).items())
    assert strategy.explain(seen, memory)["weight"].shape == (rows,)


def test_the_weights_of_the_warm_up_are_uniform():
    text, strategy = space(5), VBWeights(warmup=16)
    memory = strategy.begin(text)
    for i, seen in enumerate(stream(text, 10, 20, 0)):
        _, memory = strategy.adapt(seen, memory)
        assert torch.equal(memory.weights, torch.full((10,), 0.1)) == (i + 1 < 16)


def test_it_answers_before_it_learns():
    text, strategy = space(5), VBWeights(warmup=0)
    seen = stream(text, 10, 1, 3)[0]
    logits, memory = strategy.adapt(seen, strategy.begin(text))
    plain = seen.logits().log_softmax(-1).logsumexp(0) - math.log(10)
    torch.testing.assert_close(logits, plain, atol=1e-4, rtol=0)
    assert not torch.equal(memory.weights, torch.full((10,), 0.1))


def test_needs_the_named_views():
    needs = VBWeights().needs()
    assert (needs.views, needs.augment) == (10, "named")


def test_snapshot_restores_bit_for_bit():
    text, strategy = space(9), VBWeights(window=12, warmup=4)
    frames = stream(text, 10, 40, 2)
    memory = strategy.begin(text)
    for seen in frames[:17]:
        _, memory = strategy.adapt(seen, memory)
    restored = fill(strategy.begin(text), {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in frames[17:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)


def test_the_memory_has_the_stated_size():
    assert nbytes(VBWeights().begin(space(1000))) == 64 * 10 * 4 + 8 + 8 + 10 * 4 == 2616
