"""GDA against the authors' formula in float64: numpy's pseudo-inverse of the two-pass scatter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service.strategies.gda import GDA

from .lessons import answers, evidence, pictures, space, taught


def formula(t, s, lessons, labels, x, alpha):
    c, d = t.shape
    labels = np.array(labels)
    means = np.stack([lessons[labels == k].mean(0) for k in range(c)])
    away = lessons - means[labels]
    scatter = away.T @ away
    precision = d * np.linalg.pinv(scatter + np.trace(scatter) / (len(lessons) - 1) * np.eye(d))
    w = means @ precision
    b = -np.log(c) - 0.5 * (w * means).sum(1)
    return s * x @ t.T + alpha * (x @ w.T + b)


def zero_shot(text, features):
    return np.stack([evidence(x, text).logits()[0].double().numpy() for x in features])


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("count", [11, 40, 300])
def test_equals_the_formula(compat, count):
    text, (features, labels) = space(5), pictures(5, 64)
    strategy = GDA(alpha=0.7, compat=compat)
    found = answers(strategy, text, features[300:], taught(strategy, text, features[:count], labels[:count]))
    t, lessons, x = (some.double().numpy() for some in (text.features, features[:count], features[300:]))
    expected = formula(t, text.scale, lessons, labels[:count], x, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("each", [0, 1])
def test_is_zero_shot_until_a_class_has_two_lessons(each):
    text, (features, labels) = space(5), pictures(5, 3)
    strategy = GDA()
    memory = taught(strategy, text, features[: 5 * each], labels[: 5 * each])
    assert (answers(strategy, text, features, memory) == zero_shot(text, features)).all()


def test_a_class_without_a_lesson_neither_wins_nor_loses_by_it():
    text, (features, labels) = space(5), pictures(5, 8)
    some = [i for i, label in enumerate(labels) if label < 4]
    known = GDA(), GDA(compat=True)
    gained = []
    for strategy in known:
        memory = taught(strategy, text, features[some], [labels[i] for i in some])
        gained.append(answers(strategy, text, features, memory) - zero_shot(text, features))
    np.testing.assert_allclose(gained[0][:, 4], gained[0][:, :4].mean(1), rtol=1e-3, atol=1e-3)
    assert (gained[1] == 0).all()


def test_lessons_count_whatever_their_order_and_wait_for_the_fit():
    text, (features, labels) = space(5), pictures(5, 4)
    strategy, back = GDA(), torch.arange(len(features) - 1, -1, -1)
    one = taught(strategy, text, features, labels)
    other = taught(strategy, text, features[back], [labels[i] for i in back])
    np.testing.assert_allclose(*(answers(strategy, text, features, memory) for memory in (one, other)), atol=1e-2)
    assert not strategy.fit_is_due(one)
    before = answers(strategy, text, features, one)
    one = strategy.teach(evidence(features[0], text), 1, one)
    assert strategy.fit_is_due(one)
    assert (answers(strategy, text, features, one) == before).all()
