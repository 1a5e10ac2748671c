from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import TextSpace
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.strategies.stata import StatA

from .streams import Margin, answers, entropy, softmax, space, stream


def solve(o: StatA, x, t, s, margin):
    """The formula literally: no centring, no products in place of differences, no log space but for the rows."""

    def normalise(a):
        return a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)

    n, prior = len(x), softmax(s * x @ t.T)
    similar = x @ x.T
    a = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        nearest = sorted(others, key=lambda j: (-round(similar[i, j], 12), j))
        if len(others) > o.neighbours:
            margin.less(similar[i, nearest[o.neighbours]], similar[i, nearest[o.neighbours - 1]])
        a[i, nearest[: o.neighbours]] = similar[i, nearest[: o.neighbours]]
    z, mu = prior, t
    start = (z[..., None] * (x[:, None] - t) ** 2).sum((0, 1)) / n
    cov = np.maximum(start, 1e-6) * np.ones_like(t)
    for phase in range(o.iterations):
        likely = -0.5 * ((x[:, None] - mu) ** 2 / cov).sum(-1)
        for _ in range(5):
            q = likely + o.temperature / (2 * o.neighbours) * (a.T @ z + a @ z) - 0.5 * np.log(cov).sum(-1)
            e = q / o.temperature
            z = prior * np.exp(e - e.max(1, keepdims=True))
            z = z / z.sum(1, keepdims=True)
        if phase == o.iterations - 1:
            return np.log(z[-1])
        labels = np.array([margin.argmax(row) for row in z])
        count = np.array([(labels == c).sum() for c in range(len(t))])[:, None]
        beta = np.where(count > 0, count / np.maximum(o.alpha + count, 1e-300), 0)
        mass = np.maximum(z.sum(0), 1e-12)[:, None]
        mu = normalise(beta * normalise(z.T @ x / mass) + (1 - beta) * t)
        own = (z[..., None] * (x[:, None] - mu) ** 2).sum(0) / mass
        cov = np.maximum(beta * own + (1 - beta) * (start + (t - mu) ** 2), 1e-6)


def compare(o: StatA, text: TextSpace, count: int, seeds: int = 40):
    """Answers and the derivation's over a stream whose decisions are clear; both sides work in float64."""
    t = text.features.double().numpy()
    for seed in range(seeds):
        frames, margin, expected = stream(text, 1, count, seed), Margin(), []
        rows = np.stack([seen.views[0].double().numpy() for seen in frames])
        for i in range(count):
            x = rows[max(0, i + 1 - o.window) : i + 1]
            if len(x) <= o.neighbours:
                expected.append(np.log(softmax(text.scale * x[-1] @ t.T)))
            else:
                expected.append(solve(o, x, t, text.scale, margin))
        if margin.smallest > 1e-10:
            return answers(o, frames), np.stack(expected)
    raise AssertionError("no seed keeps its decisions apart")


CASES = [
    (6, 220, StatA(window=12)),
    (1, 200, StatA(window=8)),
    (2, 220, StatA(window=4, neighbours=2)),
    (5, 200, StatA(window=24, alpha=0.0, iterations=4)),
    (5, 200, StatA(window=16, alpha=1e6, neighbours=5, iterations=3)),
    (5, 200, StatA(window=16, iterations=1, temperature=5.0)),
    pytest.param(1000, 200, StatA(window=5, iterations=2), marks=pytest.mark.large),
]


@pytest.mark.parametrize("classes, count, strategy", CASES)
def test_equals_the_formula(classes, count, strategy):
    got, expected = compare(strategy, space(classes, scale=30.0), count)
    likely = expected > -600
    np.testing.assert_allclose(got[likely], expected[likely], atol=2e-3, rtol=1e-5)


def test_it_is_zero_shot_until_there_are_neighbours():
    frames = stream(space(5), 1, 9, 0)
    zero_shot = np.stack([seen.logits()[0].log_softmax(-1).numpy() for seen in frames])
    np.testing.assert_array_equal(answers(StatA(neighbours=9), frames), zero_shot)
    np.testing.assert_array_equal(answers(StatA(window=4, neighbours=6), frames), zero_shot)  # never enough
    got = answers(StatA(neighbours=4), frames)
    np.testing.assert_array_equal(got[:4], zero_shot[:4])
    assert np.abs(got[4:] - zero_shot[4:]).max(1).min() > 1e-3


def test_a_static_scene_gives_finite_certain_answers():
    text = space(7)
    scene = stream(text, 1, 1, 4)[0]
    got = answers(StatA(window=8), [scene] * 40)
    assert np.isfinite(got).all()
    assert (got.argmax(1) == got[0].argmax()).all()
    assert entropy(softmax(got[-1])) <= entropy(softmax(got[0])) + 1e-6


def test_the_answer_does_not_depend_on_where_the_ring_begins():
    """After the ring has wrapped, the answer is that of a fresh stream with the same last frames."""
    frames, strategy = stream(space(5), 1, 31, 3), StatA(window=12)
    np.testing.assert_array_equal(answers(strategy, frames)[-1], answers(strategy, frames[-12:])[-1])


def test_snapshot_restores_bit_for_bit():
    text, strategy = space(9), StatA(window=10)
    frames = stream(text, 1, 30, 2)
    memory = strategy.begin(text)
    for seen in frames[:17]:
        _, memory = strategy.adapt(seen, memory)
    restored = fill(strategy.begin(text), {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in frames[17:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)


def test_the_memory_has_the_stated_size():
    text = TextSpace.of(torch.randn(1000, 512))
    assert nbytes(StatA().begin(text)) == 64 * 512 * 4 + 16 == 131_088
