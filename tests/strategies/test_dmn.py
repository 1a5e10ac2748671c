from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tta_service import Evidence, TextSpace
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.strategies.dmn import DMN

from .streams import Margin, answers, derive_answers, entropy, softmax, space, stream


def derivation(o: DMN):
    """The formula with lists: class by class, image by image."""

    def run(frames, t, s, margin):
        held = [[] for _ in t]
        for views in frames:
            z, f = s * views @ t.T, views[0]
            kept = margin.surest(entropy(softmax(z)), max(1, int(len(z) * o.confident)))
            p = softmax(z[kept]).mean(0)
            h, k = entropy(p), margin.argmax(p)
            if len(held[k]) < o.slots:
                held[k].append((h, f))
            else:
                worst = max(range(o.slots), key=lambda i: (held[k][i][0], i))  # the last of equals
                if margin.less(h, held[k][worst][0]):
                    held[k][worst] = (h, f)
            d = []
            for c, own in enumerate(t):
                rows = [g for _, g in held[c]] + [own]
                v = sum(math.exp(-o.beta * (1 - f @ r)) * r for r in rows)
                d.append(s * f @ v / max(np.linalg.norm(v), 1e-12) if held[c] else s * f @ own)
            p_text, p_dyn = softmax(z[0]), softmax(np.array(d))
            with np.errstate(divide="ignore"):
                yield np.log((p_text + o.weight * p_dyn) / (1 + o.weight))

    return run


CASES = [
    (7, 1, DMN()),
    (7, 1, DMN(slots=2)),
    (5, 12, DMN(views=12, confident=0.3, slots=4)),
    (1, 4, DMN(views=4)),
    (2, 1, DMN(slots=1, beta=0.0)),
    (100, 4, DMN(views=4, confident=1.0, slots=3, weight=0.2)),
    pytest.param(1000, 1, DMN(slots=3, beta=20.0, weight=5.0), marks=pytest.mark.large),
]


@pytest.mark.parametrize("classes, rows, strategy", CASES)
def test_equals_the_formula(classes, rows, strategy):
    frames, expected = derive_answers(derivation(strategy), space(classes), rows, 220)
    got = answers(strategy, frames)
    seen = expected > -700  # below, float64 probabilities are gone, ours are not
    np.testing.assert_allclose(got[seen], expected[seen], atol=2e-3)
    assert (got[~seen] < -690).all()


def test_without_weight_it_is_zero_shot():
    frames = stream(space(6), 1, 30, 0)
    zero_shot = np.stack([seen.logits()[0].log_softmax(-1).numpy() for seen in frames])
    np.testing.assert_array_equal(answers(DMN(weight=0.0), frames), zero_shot)


def test_a_huge_weight_leaves_the_memory_alone():
    """The text's own probability vanishes: what is left is the softmax of the dynamic logits."""
    text, margin = space(6), Margin()
    frames = stream(text, 1, 40, 0)
    plain = [seen.views.double().numpy() for seen in frames]
    expected = list(derivation(DMN(weight=1e9))(plain, text.features.double().numpy(), text.scale, margin))
    np.testing.assert_allclose(np.exp(answers(DMN(weight=1e9), frames)), np.exp(np.stack(expected)), atol=1e-4)


def test_answers_are_log_probabilities():
    for seen, logits in zip(frames := stream(space(9), 1, 30, 1), answers(DMN(), frames)):
        assert np.exp(logits).sum() == pytest.approx(1, abs=1e-4)
        assert len(logits) == len(seen.text.features)


def image(cosine: float, text: TextSpace) -> Evidence:
    """A plain view at that cosine to class 0, and nowhere near the others."""
    d = text.features.shape[1]
    row = torch.zeros(1, d)
    row[0, 0], row[0, -1] = cosine, math.sqrt(1 - cosine**2)
    return Evidence(row, text)


def test_the_least_certain_image_is_replaced_by_a_more_certain_one():
    """The least sure image goes, the last of equals, and only for a surer one."""
    text, strategy = TextSpace.of(torch.eye(3, 5), scale=5.0), DMN(slots=3)
    memory = strategy.begin(text)
    for cosine in (0.5, 0.3, 0.3):
        _, memory = strategy.adapt(image(cosine, text), memory)
    assert memory.count.tolist() == [3, 0, 0]
    _, memory = strategy.adapt(image(0.3, text), memory)
    assert memory.features[0, :, 0].tolist() == pytest.approx([0.5, 0.3, 0.3])
    _, memory = strategy.adapt(image(0.9, text), memory)
    assert memory.features[0, :, 0].tolist() == pytest.approx([0.5, 0.3, 0.9])
    assert memory.entropy[1:].isinf().all()
    explanation = strategy.explain(image(0.9, text), memory)
    assert explanation["admitted"] == 1.0
    assert explanation["fill"] == pytest.approx(1 / 3)
    assert strategy.explain(image(0.1, text), memory)["admitted"] == 0.0


def test_the_plain_view_is_what_is_stored():
    text, strategy = space(4), DMN(views=6, confident=0.5)
    seen = stream(text, 6, 1, 0)[0]
    _, memory = strategy.adapt(seen, strategy.begin(text))
    stored = memory.features[memory.count > 0]
    assert torch.equal(stored[0, 0], seen.views[0])


def test_snapshot_restores_bit_for_bit():
    text, strategy = space(9), DMN(views=3, slots=4)
    frames = stream(text, 3, 80, 2)
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
    assert nbytes(DMN().begin(text)) == 1000 * (50 * 512 * 4 + 50 * 4 + 8) == 102_608_000
