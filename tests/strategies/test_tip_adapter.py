"""Tip-Adapter against the authors' formula: one-hot labels, affinities of all keys, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tta_service.strategies.tip_adapter import TipAdapter

from .lessons import answers, evidence, pictures, space, taught


def formula(t, s, keys, labels, x, alpha, beta, mean):
    values = np.eye(len(t))[labels]
    votes = np.exp(-(beta - beta * x @ keys.T)) @ values
    return s * x @ t.T + alpha * votes / (np.maximum(values.sum(0), 1) if mean else 1)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("alpha", "beta"), [(1.17, 1.0), (3.0, 5.5)])
def test_equals_the_formula(compat, alpha, beta):
    text, (features, labels) = space(5), pictures(5, 6)
    lessons, chosen = features[:13], labels[:13]  # two or three a class
    strategy = TipAdapter(alpha=alpha, beta=beta, compat=compat)
    found = answers(strategy, text, features[13:], taught(strategy, text, lessons, chosen))
    t, keys, x = (some.double().numpy() for some in (text.features, lessons, features[13:]))
    expected = formula(t, text.scale, keys, chosen, x, alpha, beta, mean=not compat)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_is_zero_shot_without_lessons():
    text, (features, _) = space(5), pictures(5, 2)
    strategy = TipAdapter()
    found = answers(strategy, text, features, strategy.begin(text))
    assert (found == np.stack([evidence(x, text).logits()[0].double().numpy() for x in features])).all()


def test_only_the_sum_lets_a_class_win_by_the_number_of_its_lessons():
    text, (features, _) = space(2, d=8), pictures(2, 3, d=8)
    many, image = features[:1].expand(9, -1), features[1]
    for compat in (False, True):
        strategy = TipAdapter(alpha=1000.0, compat=compat)
        memory = taught(strategy, text, [*many, image], [0] * 9 + [1])
        assert answers(strategy, text, image[None], memory)[0].argmax() == (0 if compat else 1)


def test_a_full_class_forgets_its_oldest_lesson():
    text, (features, _) = space(2), pictures(2, 4)
    strategy = TipAdapter(capacity=2)
    whole = taught(strategy, text, features[:3], [0, 0, 0])
    last = taught(strategy, text, features[1:3], [0, 0])
    np.testing.assert_allclose(*(answers(strategy, text, features[4:], one) for one in (whole, last)), atol=1e-5)
