from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.maths import unit
from tta_service.strategies.oga import OGA

from .streams import Margin, answers, derive_answers, entropy, softmax, space, stream


def log_softmax(z):
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def half(x):
    return np.asarray(x, np.float16).astype(np.float64)


def derivation(o: OGA):
    """The formula: the precision from all residuals every time, nothing incremental."""

    def run(frames, t, s, margin):
        classes, d = t.shape
        t = half(t) if o.compat else t
        memory = [[None] * o.capacity for _ in t]
        doubts = np.full((classes, o.capacity), np.log(classes))
        doubts = half(doubts) if o.compat else doubts
        mean, precision = t.copy(), d * np.eye(d)
        for views in frames:
            f = half(views[0]) if o.compat else views[0]
            if o.compat:
                product = (half(s * f).astype(np.float32) @ t.T.astype(np.float32)).astype(np.float64)
                z = half(product)
                p = softmax(z)
                exact = -(p * np.log(p + 1e-9)).sum()
                h = float(half(exact))
            else:
                z = s * t @ f
                h = entropy(softmax(z))
            k = margin.argmax(z)
            worst = int(np.argmax(doubts[k]))
            if margin.less(h, doubts[k, worst]):
                memory[k][worst], doubts[k, worst] = f, h
                held = [np.array([x for x in row if x is not None]) for row in memory]
                counts = np.array([len(rows) for rows in held])
                if counts[k] >= 2:
                    mean[k] = held[k].sum(0) / (o.capacity if o.compat else counts[k])
                    mean[k] = half(mean[k]) if o.compat else mean[k]
                if counts.max() >= 3:
                    residuals = np.concatenate([rows - mean[c] for c, rows in enumerate(held) if len(rows)])
                    n = len(residuals)
                    centred = residuals - residuals.mean(0)
                    q = centred.T @ centred
                    trace = np.trace(q) / (n - 1)
                    if trace > 1e-12:
                        if n <= 4 * d:
                            precision = d * np.linalg.inv(q + trace * np.eye(d))
                        else:
                            precision = np.linalg.pinv(q / (n - 1), rcond=d * 1.1920929e-07, hermitian=True)
            logp = mean @ precision @ f - 0.5 * np.einsum("cd,de,ce->c", mean, precision, mean)
            yield log_softmax(log_softmax(z) + log_softmax(o.tau * logp))

    return run


CASES = [
    (7, 48, OGA()),
    (7, 6, OGA(capacity=8)),  # more than 4 d images: the pseudo-inverse takes over
    (2, 24, OGA(capacity=3, tau=0.5)),
    (1, 16, OGA()),
    (100, 32, OGA(capacity=2)),
    pytest.param(1000, 24, OGA(), marks=pytest.mark.large),
]


@pytest.mark.parametrize("classes, d, strategy", CASES)
def test_equals_the_formula(classes, d, strategy):
    frames, expected = derive_answers(
        derivation(strategy), space(classes, d=d, scale=20.0 if classes == 2 else 100.0), 1, 250
    )
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-2)


@pytest.mark.parametrize("classes, d", [(5, 24), (60, 16)])
def test_compat_equals_the_published_arithmetic(classes, d):
    strategy = OGA(compat=True)
    text = space(classes, d=d)
    # on a coarse grid the float32 products are exact, so rounding to float16 goes the same way in any order of sums
    coarse = TextSpace(text.labels, (text.features * 64).round() / 64)
    frames = [Evidence((seen.views * 256).round() / 256, coarse) for seen in stream(text, 1, 250, 0)]
    plain = [seen.views.double().numpy() for seen in frames]
    expected = np.stack(list(derivation(strategy)(plain, coarse.features.double().numpy(), 100.0, Margin())))
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-2)
    assert np.abs(answers(OGA(), frames) - expected).max() > 0.5, "compat must differ from the sane form"


def test_a_still_scene_keeps_its_precision():
    """One image over and over: residuals are zero, nothing is inverted, and the answer does not move any more."""
    text, strategy = space(5, d=16), OGA()
    seen = stream(text, 1, 1, 0)[0]
    memory, logits = strategy.begin(text), []
    for _ in range(12):
        answer, memory = strategy.adapt(seen, memory)
        logits.append(answer)
    assert torch.equal(memory.precision, 16 * torch.eye(16)) and int(memory.filled.sum()) == 8
    assert torch.equal(logits[-1], logits[-2]) and all(answer.isfinite().all() for answer in logits)


def test_a_still_scene_that_fills_the_memory_drops_the_empty_directions():
    """Few distinct images, many slots, n > 4d: a rank-deficient covariance must not explode."""
    text, strategy = space(3, d=4), OGA(capacity=16)
    few = [Evidence(unit(text.features[c : c + 1] + 0.05 * torch.randn(1, 4)), text) for c in range(3)]
    memory = strategy.begin(text)
    for i in range(90):
        noise = 1e-9 * torch.randn(1, 4)
        logits, memory = strategy.adapt(Evidence(few[i % 3].views + noise, text), memory)
        assert logits.isfinite().all() and memory.precision.isfinite().all()


def test_before_the_first_covariance_it_is_zero_shot_at_a_larger_scale():
    text = space(6, d=32)
    seen = stream(text, 1, 1, 5)[0]
    strategy = OGA()
    logits, _ = strategy.adapt(seen, strategy.begin(text))
    cosines = text.features @ seen.views[0]
    torch.testing.assert_close(logits, ((100 + 0.05 * 32) * cosines).log_softmax(-1), atol=1e-3, rtol=0)


def test_snapshot_restores_bit_for_bit_across_the_rebuilding():
    text, strategy = space(40, d=12), OGA()
    frames = stream(text, 1, 420, 3)
    memory = strategy.begin(text)
    for seen in frames[:250]:
        _, memory = strategy.adapt(seen, memory)
    restored = fill(strategy.begin(text), {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in frames[250:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)
    assert int(memory.updates) > 256


def test_the_memory_has_the_stated_size():
    text = TextSpace.of(torch.randn(100, 64))
    c, d, n = 100, 64, 8
    rest = 4 * c * n + c * n + 2 * 4 * c * d + 4 * c + 4 * d * d + 8 * d * d + 8 * d + 8
    assert nbytes(OGA().begin(text)) == 4 * c * n * d + rest
    assert nbytes(OGA(compat=True).begin(text)) == 2 * c * n * d + rest
