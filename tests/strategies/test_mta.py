from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence
from tta_service.maths import unit
from tta_service.strategies.mta import MTA

from .streams import answers, derive_answers, rounding_error, softmax, space


def solve(f, t, s, affinity=4.0, entropy=0.2, rounds=5, tolerance=1e-6):
    """The formula as published, with explicit differences; one image."""
    n = len(f)
    if n == 1:
        return s * f[0] @ t.T, np.ones(1)
    q = softmax(s * f @ t.T)
    a = q @ q.T
    d2 = ((f[:, None] - f[None]) ** 2).sum(-1)
    k = min(n - 1, max(1, int(0.3 * (n - 1))))
    h2 = np.maximum(0.5 * np.sort(d2, axis=1)[:, 1 : 1 + k].mean(1), 1e-12)
    y, m = np.full(n, 1 / n), f[0]
    for _ in range(rounds):
        kernel = np.exp(-((f - m) ** 2).sum(-1) / (2 * h2))
        for _ in range(rounds):
            new = softmax((kernel + affinity * a @ y) / entropy)
            moved, y = np.linalg.norm(new - y), new
            if moved < tolerance:
                break
        for _ in range(rounds):
            with np.errstate(divide="ignore"):
                w = softmax(-((f - m) ** 2).sum(-1) / (2 * h2) + np.log(y))
            new = w @ f
            new = new / max(np.linalg.norm(new), 1e-12)
            moved, m = np.linalg.norm(new - m), new
            if moved < tolerance:
                break
    return s * m @ t.T, y


def derivation(**fields):
    def run(frames, text, scale, margin):
        for views in frames:
            yield solve(views, text, scale, **fields)[0]

    return run


CASES = [
    (7, 16, {}),
    (7, 1, {}),
    (2, 5, {}),
    (1, 3, {}),
    (30, 64, {"affinity": 0.0}),
    (1000, 24, {}),
    (5, 2, {"rounds": 9}),
]


@pytest.mark.parametrize("classes, rows, fields", CASES)
def test_equals_the_formula(classes, rows, fields):
    frames, expected = derive_answers(derivation(**fields), text := space(classes), rows, 200)
    names = {"affinity": "lambda_affinity", "entropy": "lambda_entropy"}
    got = answers(MTA(**{names.get(k, k): v for k, v in fields.items()}), frames)
    # All rounds run in float64: what is left are float32's two products, of the views [v] and of the features [d], each
    # about one `rounding_error` at most. Measured: 1.9e-5 with AVX-512, 1.8e-5 with AVX2, 2.5e-5 with default kernels.
    np.testing.assert_allclose(got, expected, atol=4 * rounding_error(text))


def test_weights_are_the_inlierness():
    text = space(7)
    frames, _ = derive_answers(derivation(), text, 16, 20)
    for seen in frames:
        _, y = solve(seen.views.double().numpy(), text.features.double().numpy(), text.scale)
        np.testing.assert_allclose(MTA().explain(seen, None)["weight"], y, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 64])
@pytest.mark.parametrize("half", [False, True])
def test_identical_views_are_zero_shot(rows, half):
    text, plain = space(11), unit(torch.randn(1, 48))
    if half:
        plain = plain.half().float()  # no longer of unit norm: every kernel may underflow
    logits, _ = MTA().adapt(Evidence(plain.repeat(rows, 1), text), None)
    expected = text.scale * text.features @ (plain[0] if rows == 1 else unit(plain[0]))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_an_outlier_weighs_nothing():
    text = space(5)
    views = unit(text.features[0] + 0.05 * torch.randn(16, 48))
    views[7] = -views[7]
    weight = MTA().explain(Evidence(views, text), None)["weight"]
    assert weight[7] == weight.min() and weight[7] < 0.02


def test_opposite_views_and_hard_weights_stay_finite():
    text, one = space(5), unit(torch.randn(1, 48))
    for strategy in (MTA(), MTA(lambda_entropy=1e-30), MTA(lambda_affinity=1e3, rounds=50, tolerance=0.0)):
        assert strategy.adapt(Evidence(torch.cat([one, -one]), text), None)[0].isfinite().all()
