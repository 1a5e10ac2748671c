from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.maths import unit
from tta_service.strategies.tda import TDA

from .streams import answers, derive_answers, entropy, softmax, space, stream


def insert(cache, item, capacity, margin):
    """An item (entropy, …) into one class's list: at the end while there is room, else for the last if surer."""
    if len(cache) < capacity:
        cache.append(item)
    elif margin.less(item[0], cache[-1][0]):
        cache[-1] = item
    cache.sort(key=lambda held: held[0])


def derivation(o: TDA):
    """The formula with lists, as in the paper's pseudocode."""

    def run(frames, t, s, margin):
        classes = len(t)
        positive = [[] for _ in t]
        negative = [[] for _ in t]
        for views in frames:
            z = s * views @ t.T
            kept = margin.surest(entropy(softmax(z)), max(1, int(len(z) * o.confident)))
            f, mean, p = views[kept].mean(0), z[kept].mean(0), softmax(z[kept]).mean(0)
            h, k = entropy(p), margin.argmax(mean)
            insert(positive[k], (h, f), o.capacity, margin)
            ratio = h / math.log2(classes) if classes > 1 else 0.0
            margin.less(ratio, o.entropy_low), margin.less(ratio, o.entropy_high)
            if o.negative and o.entropy_low < ratio < o.entropy_high:
                insert(negative[k], (h, f, margin.between(p, o.mask_low, o.mask_high)), o.negative_capacity, margin)
            out = mean.copy()
            for c in range(classes):
                out[c] += o.alpha * sum(math.exp(-o.beta * (1 - f @ g)) for _, g in positive[c])
            for _, g, mask in (item for held in negative for item in held):
                out -= o.negative_alpha * math.exp(-o.negative_beta * (1 - f @ g)) * mask
            yield out

    return run


CASES = [
    (7, 1, TDA()),
    (7, 12, TDA(views=12, confident=0.3)),
    (2, 1, TDA(capacity=5, negative_capacity=4)),
    (1, 4, TDA(views=4)),
    (100, 8, TDA(views=8, confident=0.5, negative_alpha=3.0, negative_beta=2.0)),
    (1000, 1, TDA(alpha=0.7, beta=8.0)),
    (7, 1, TDA(negative=False)),
    (7, 3, TDA(views=3, confident=1.0, entropy_low=0.0, entropy_high=1.0, mask_low=0.0, mask_high=0.5, capacity=1)),
]


@pytest.mark.parametrize("classes, rows, strategy", CASES)
def test_equals_the_formula(classes, rows, strategy):
    frames, expected = derive_answers(derivation(strategy), space(classes), rows, 220)
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=1e-3)


def test_without_weight_it_is_zero_shot():
    frames = stream(space(6), 1, 30, 0)
    zero_shot = np.stack([seen.logits()[0].numpy() for seen in frames])
    np.testing.assert_array_equal(answers(TDA(alpha=0.0, negative=False), frames), zero_shot)


def test_a_stored_image_counts_in_its_own_answer():
    text = space(6)
    seen = stream(text, 1, 1, 3)[0]
    strategy = TDA(negative=False)
    logits, memory = strategy.adapt(seen, strategy.begin(text))
    gain = logits - seen.logits()[0]
    k = int(seen.logits()[0].argmax())
    assert float(gain[k]) == pytest.approx(2.0, abs=1e-4) and float(gain.abs().sum()) == pytest.approx(2.0, abs=1e-4)
    explanation = strategy.explain(seen, memory)
    assert explanation["admitted"] == 1.0 and explanation["fill"] == pytest.approx(1 / 18)


def test_a_tie_never_evicts():
    text, strategy = space(3), TDA(capacity=2)
    seen = stream(text, 1, 1, 0)[0]
    memory = strategy.begin(text)
    for _ in range(5):
        _, memory = strategy.adapt(seen, memory)
    twin = Evidence(seen.views.clone(), text)
    before = {name: tensor.clone() for name, tensor in tensors(memory).items()}
    _, memory = strategy.adapt(twin, memory)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(memory).items())
    assert int(memory.entropy.isfinite().sum()) == 2


def test_rows_stay_in_order_of_entropy():
    text = space(4)
    memory = (strategy := TDA(capacity=6)).begin(text)
    for seen in stream(text, 1, 80, 1):
        _, memory = strategy.adapt(seen, memory)
    assert torch.equal(memory.entropy, memory.entropy.sort(dim=1).values)
    assert torch.equal(memory.negative_entropy, memory.negative_entropy.sort(dim=1).values)


@pytest.mark.parametrize("clear", [0.0, 1.0])
def test_entropies_at_the_edges(clear):
    """A certain image (entropy 0) and one that says nothing (entropy ln C) are never in doubt."""
    text = TextSpace.of(torch.eye(4, 5))
    seen = Evidence(unit(torch.tensor([[clear, 0, 0, 0, 1 - clear]])), text)
    logits, memory = TDA().adapt(seen, TDA().begin(text))
    assert logits.isfinite().all() and float(memory.entropy.min()) == pytest.approx(
        0 if clear else math.log(4), abs=1e-6
    )
    assert memory.negative_entropy.isinf().all() and float(memory.entropy.min()) >= 0


def test_snapshot_restores_bit_for_bit():
    text, strategy = space(9), TDA(views=5)
    frames = stream(text, 5, 80, 2)
    memory = strategy.begin(text)
    for seen in frames[:40]:
        _, memory = strategy.adapt(seen, memory)
    restored = fill(strategy.begin(text), {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in frames[40:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)


def test_the_memory_has_the_stated_size():
    text = TextSpace.of(torch.randn(1000, 512))
    expected = 1000 * (3 * 512 * 4 + 3 * 4 + 2 * 512 * 4 + 2 * 4 + 2 * 1000)
    assert nbytes(TDA().begin(text)) == expected == 12_260_000
