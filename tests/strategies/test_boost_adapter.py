from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from tta_service import TextSpace
from tta_service.core.memory import nbytes
from tta_service.strategies.boost_adapter import BoostAdapter
from tta_service.strategies.tda import TDA

from .streams import answers, derive_answers, entropy, softmax, space, stream


def insert(cache, item, capacity, margin):
    """Append, sort by entropy, truncate: a tie with the worst leaves it where it is."""
    for held in cache:
        margin.less(item[0], held[0])
    cache.append(item)
    cache.sort(key=lambda held: held[0])
    del cache[capacity:]


def derivation(o: BoostAdapter):
    """The formula as published, with a copy of the whole cache for every image."""

    def run(frames, t, s, margin):
        classes = len(t)
        positive = {c: [] for c in range(classes)}
        negative = {c: [] for c in range(classes)}
        for views in frames:
            z = s * views @ t.T
            p, h = softmax(z), entropy(softmax(z))
            sure = margin.surest(h, max(1, int(len(z) * o.confident)))
            rows = [0] if o.summary == "plain" else sure
            f, mean, q = views[rows].mean(0), z[rows].mean(0), p[rows].mean(0)
            doubt, k = entropy(q), margin.argmax(mean)
            insert(positive[k], (doubt, f), o.capacity, margin)
            boosted = copy.deepcopy(positive)
            for i in sure:
                insert(boosted[margin.argmax(z[i])], (h[i], views[i]), o.capacity + o.extra, margin)
            ratio = doubt / math.log2(classes) if classes > 1 else 0.0
            margin.less(ratio, o.entropy_low), margin.less(ratio, o.entropy_high)
            if o.negative and o.entropy_low < ratio < o.entropy_high:
                q = margin.between(q, o.mask_low, o.mask_high)
                if o.compat:
                    negative[k] = [*negative[k], (doubt, f, q)][-o.negative_capacity :]
                else:
                    insert(negative[k], (doubt, f, q), o.negative_capacity, margin)
            out = mean.copy()
            for c in range(classes):
                out[c] += o.alpha * sum(math.exp(-o.beta * (1 - f @ g)) for _, g in boosted[c])
            for _, g, mask in (item for held in negative.values() for item in held):
                out -= o.negative_alpha * math.exp(-o.negative_beta * (1 - f @ g)) * mask
            yield out

    return run


CASES = [
    (7, 16, BoostAdapter(confident=0.3, summary="plain")),
    (7, 16, BoostAdapter(confident=0.3, extra=0)),
    (
        5,
        8,
        BoostAdapter(confident=0.2, summary="plain", compat=True, negative_alpha=2.0, entropy_low=0, entropy_high=1),
    ),
    (2, 4, BoostAdapter(extra=5, capacity=1)),
    (1, 6, BoostAdapter(confident=0.5, summary="plain")),
    pytest.param(1000, 6, BoostAdapter(confident=0.5, alpha=5.0), marks=pytest.mark.large),
    (7, 1, BoostAdapter()),
]


@pytest.mark.parametrize("classes, rows, strategy", CASES)
def test_equals_the_formula(classes, rows, strategy):
    frames, expected = derive_answers(derivation(strategy), space(classes), rows, 200)
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-3)


def test_boosting_views_are_not_stored():
    text = space(6)
    plain, boosted = TDA(negative=False), BoostAdapter(negative=False, confident=0.5, summary="plain")
    one, two = plain.begin(text), boosted.begin(text)
    for seen in stream(text, 12, 60, 4):
        alone = type(seen)(seen.views[:1], text)
        _, one = plain.adapt(alone, one)
        _, two = boosted.adapt(seen, two)
        assert torch.allclose(one.keys, two.keys) and torch.allclose(one.entropy, two.entropy, atol=1e-5)


def test_without_weights_it_is_the_plain_view():
    frames = stream(space(6), 12, 30, 0)
    zero_shot = np.stack([(100 * seen.text.features @ seen.views[0]).numpy() for seen in frames])
    np.testing.assert_allclose(
        answers(BoostAdapter(alpha=0, negative_alpha=0, summary="plain"), frames), zero_shot, atol=1e-4
    )


def test_the_memory_has_the_stated_size():
    assert nbytes(BoostAdapter().begin(TextSpace.of(torch.randn(1000, 512)))) == 12_260_000
