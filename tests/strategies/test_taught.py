"""Taught against its formula in float64, with every lesson left out by name; and what a person may rely on."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch

from tta_service.maths import unit
from tta_service.strategies.taught import Taught

from .lessons import answers, evidence, pictures, space, taught

TEXT, MEANS, WORTH = (0, 0.03, 0.06, 0.12, 0.25, 0.5, 1), (0, 4, 8, 12, 16, 24, 32), (0.3, 0.8, 2, 5, 12, 30)


def rows(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def formula(t, s, frames, lessons, labels, images):
    """The mean probability of the grid for every image, from nothing but loops over lessons and classifiers."""
    c, labels, n = len(t), np.array(labels), len(lessons)
    means = np.stack([lessons[labels == k].mean(0) for k in np.unique(labels)])
    centre = (frames.sum(0) + n * means.mean(0)) / (len(frames) + n)
    seen = np.concatenate([frames, lessons]) - centre
    values, basis = np.linalg.eigh(seen.T @ seen / len(seen))
    moments = [
        [j for j in range(n) if labels[j] == labels[i] and (lessons[i] @ lessons[j] > 0.98 or i == j)] for i in range(n)
    ]
    share = np.array([1 / len(one) for one in moments])
    per_class = np.bincount(labels, share, minlength=c)
    doubt = 1 / (1 + (per_class > 1.5).mean() * share.sum() / 16)
    best = np.exp(log_softmax(s * np.concatenate([frames, lessons]) @ t.T))
    sure, right_ones = best.max(1).mean(), int((best[len(frames) :].argmax(1) == labels).sum())
    by_chance = 1 / ((n + 1) * comb(n, right_ones))
    mistakes = 1 / (1 + by_chance / (0.03**right_ones * 0.97 ** (n - right_ones)))
    classifiers, known = [], 0.0
    for rho in (1, 0.7, 0.3):
        stretch = 1 / np.sqrt((1 - rho) * np.maximum(values, 0) + rho * values.mean())

        def place(x, stretch=stretch):
            return rows(x @ basis * stretch)

        a, prototypes, x = place(lessons - centre), place(t - t.mean(0)), place(images - centre)
        if rho == 1:
            tell = [
                log_softmax(u * s * lessons @ t.T + w * a @ prototypes.T)[np.arange(n), labels] @ share
                for u in TEXT
                for w in MEANS
            ]
            known = float(np.clip(1 + max(tell) / share.sum() / np.log(c), 0, 1))
            known = max(known, mistakes * sure**2)
        sums = np.stack([share[labels == k] @ a[labels == k] for k in range(c)])
        for kappa in WORTH:
            whole = rows(sums + kappa * prototypes)
            cosine = np.empty((n, c))
            for i in range(n):
                left = sums.copy()
                left[labels[i]] -= sum(share[j] * a[j] for j in moments[i])
                cosine[i] = a[i] @ whole.T
                cosine[i, labels[i]] = a[i] @ rows(left + kappa * prototypes)[labels[i]]
            for u in TEXT:
                for w in MEANS:
                    likely = np.exp(log_softmax(u * s * lessons @ t.T + w * cosine)[np.arange(n), labels])
                    loss = -share @ np.log(0.999 * likely + 0.001 / c) / 2
                    loss += doubt * (np.log((w + 1) / 11) ** 2 + (np.log2(kappa) + 1 - 7 * known) ** 2)
                    loss += doubt * (0 if rho == 1 else 12 * (0.5 - np.log10(rho)))
                    classifiers.append((loss, u * s * images @ t.T + w * x @ whole.T))
    weight = np.exp(-np.array([loss for loss, _ in classifiers]) + min(loss for loss, _ in classifiers))
    weight = np.where(weight / weight.sum() < 1e-3, 0, weight)
    return np.log(sum(p * np.exp(log_softmax(z)) for p, (_, z) in zip(weight / weight.sum(), classifiers)))


@pytest.mark.parametrize(("classes", "each"), [(2, 3), (5, 1), (5, 4)])
def test_equals_the_formula(classes, each):
    text, (features, labels) = space(classes, scale=20.0), pictures(classes, 12)
    n = classes * each
    lessons, chosen = [*features[:n], features[0]], [*labels[:n], labels[0]]  # one comes twice
    frames = features[n : n + 20]
    memory = taught(Taught(), text, torch.stack(lessons), chosen, frames)
    found = torch.from_numpy(answers(Taught(), text, features[-8:], memory)).softmax(-1)
    t, x, seen, images = (
        some.double().numpy() for some in (text.features, torch.stack(lessons), frames, features[-8:])
    )
    expected = np.exp(formula(t, text.scale, seen, x, chosen, images))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_is_zero_shot_bit_for_bit_until_a_lesson_is_fitted():
    text, (features, labels) = space(5), pictures(5, 4)
    plain = np.stack([evidence(x, text).logits()[0].double().numpy() for x in features])
    strategy = Taught()
    memory = strategy.begin(text)
    assert not strategy.fit(memory, text) and not strategy.fit_is_due(memory)
    for _ in range(2):
        assert (answers(strategy, text, features, memory) == plain).all()
        memory = strategy.teach(evidence(features[0], text), labels[0], memory)
        assert strategy.fit_is_due(memory)


def right(strategy, text, features, labels, memory):
    return float((answers(strategy, text, features, memory).argmax(1) == np.array(labels)).mean())


def test_lessons_teach_a_world_that_the_text_does_not_know():
    text, (features, labels) = space(6), pictures(6, 60)
    shares = [
        right(
            Taught(), text, features[60:], labels[60:], taught(Taught(), text, features[:n], labels[:n], features[60:])
        )
        for n in (0, 6, 24, 48)
    ]
    assert shares[0] < 0.4 and shares[1] > shares[0] + 0.2 and shares[2] > 0.85 and shares[3] > 0.85


def test_lessons_take_nothing_from_a_world_that_the_text_knows():
    text, draw = space(6, scale=100.0), torch.Generator().manual_seed(3)
    labels = [i % 6 for i in range(240)]
    features = unit(text.features[labels] + 0.05 * torch.randn(240, 48, generator=draw))
    memory = Taught().begin(text)
    before = right(Taught(), text, features[48:], labels[48:], memory)
    for n in (6, 24, 48):
        after = right(Taught(), text, features[48:], labels[48:], taught(Taught(), text, features[:n], labels[:n]))
        assert after >= before - 0.02


def test_lessons_that_only_correct_do_not_talk_the_text_down():
    text, draw = space(6, scale=60.0), torch.Generator().manual_seed(3)
    labels = [i % 6 for i in range(900)]
    features = unit(text.features[labels] + 0.15 * torch.randn(900, 48, generator=draw))
    memory = Taught().begin(text)
    said = answers(Taught(), text, features, memory).argmax(1)
    before = float((said[300:] == labels[300:]).mean())
    wrong = [i for i in range(300) if said[i] != labels[i]][:24]
    assert 0.6 < before < 0.95 and len(wrong) == 24
    memory = taught(Taught(), text, features[wrong], [labels[i] for i in wrong], features[:300])
    assert right(Taught(), text, features[300:], labels[300:], memory) >= before - 0.04


def test_a_wrong_lesson_costs_little():
    text, (features, labels) = space(6), pictures(6, 60)
    wrong = [5 - labels[0], *labels[1:24]]
    shares = [
        right(Taught(), text, features[60:], labels[60:], taught(Taught(), text, features[:24], some, features[60:]))
        for some in (labels[:24], wrong)
    ]
    assert shares[1] >= shares[0] - 0.05


def test_the_lessons_of_one_moment_count_for_one():
    text, (features, labels) = space(5), pictures(5, 8)
    frames = features[20:]
    again = torch.cat([features[:10], features[:1].expand(8, -1)])
    once = taught(Taught(), text, features[:10], labels[:10], frames)
    often = taught(Taught(), text, again, [*labels[:10], *[labels[0]] * 8], frames)
    for one, other in zip(once.weight.flatten(), often.weight.flatten()):
        assert abs(float(one - other)) < 0.05  # the centre moves a little


def test_a_full_class_forgets_its_oldest_lesson():
    text, (features, _) = space(2), pictures(2, 4)
    whole = taught(Taught(capacity=2), text, features[:3], [0, 0, 0])
    last = taught(Taught(capacity=2), text, features[1:3], [0, 0])
    np.testing.assert_allclose(
        *(answers(Taught(capacity=2), text, features[4:], one) for one in (whole, last)), atol=1e-3
    )


def test_several_views_are_one_lesson():
    text, (features, labels) = space(5), pictures(5, 8)
    strategy = Taught(views=4, confident=0.5)
    shown = torch.stack([features[i : i + 4] for i in range(36)])
    memory = taught(strategy, text, shown[:20], labels[:20], shown[20:])
    assert int(memory.count.sum()) == 20
    assert np.isfinite(answers(strategy, text, shown[20:], memory)).all()


def test_the_explanation_names_the_three_nearest_lessons():
    text, (features, labels) = space(5), pictures(5, 4)
    memory = taught(Taught(), text, features, labels, features)
    told = Taught().explain(evidence(features[7], text), memory)
    assert told["lesson_1"] == 7
    assert len({told[f"lesson_{i}"] for i in (1, 2, 3)}) == 3
    assert told["weight_1"] >= max(float(told["weight_2"]), float(told["weight_3"]))
    assert "lesson_1" not in Taught().explain(evidence(features[7], text), Taught().begin(text))


def test_the_fit_is_due_again_with_a_lesson_or_with_twice_the_frames():
    text, (features, labels) = space(5), pictures(5, 8)
    strategy = Taught()
    memory = taught(strategy, text, features[:5], labels[:5], features[:10])
    assert not strategy.fit_is_due(memory)
    answers(strategy, text, features[:10], memory)
    assert strategy.fit_is_due(memory)
    memory = taught(strategy, text, features[:5], labels[:5], features[:10])
    assert strategy.fit_is_due(strategy.teach(evidence(features[6], text), labels[6], memory))
