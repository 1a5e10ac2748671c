"""Taught against its formula in float64, with every lesson left out by name; and what a person may rely on."""

from __future__ import annotations

from math import exp, lgamma

import numpy as np
import pytest
import torch
from torch import Tensor

from tta_service import Evidence
from tta_service.core.memory import map_tensors
from tta_service.core.strategy import apply_fit
from tta_service.maths import unit
from tta_service.strategies.taught import Taught

from .lessons import answers, evidence, pictures, space, taught

TEXT, MEANS, WORTH = (0, 0.03, 0.06, 0.12, 0.25, 0.5, 1), (0, 4, 8, 12, 16, 24, 32), (0.3, 0.8, 2, 5, 12, 30)


def rows(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def lift(x):
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 0.3)
    return np.concatenate([x, np.sqrt(np.maximum(0, 1 - (x**2).sum(1, keepdims=True)))], 1)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def ridge(examples, labels, sizes, c):
    """[c, d] by the normal equations, every class as heavy as the others."""
    per_class = np.bincount(labels, sizes, minlength=c)
    weights = sizes * per_class.mean() / per_class[labels]
    truth = np.eye(c)[labels] - 1 / c
    inner = examples.T @ (weights[:, None] * examples) + np.eye(examples.shape[1])
    return np.linalg.solve(inner, examples.T @ (weights[:, None] * truth)).T, weights


def prototypes(a, labels, share, text, kappa, frames):
    """Class means and ridge from lessons, text and the sums of frames; the weights of the lessons in the ridge."""
    c, e = len(text), np.linalg.norm(frames, axis=1)
    sums = np.stack([share[labels == k] @ a[labels == k] for k in range(c)])
    every = np.concatenate([a, text, rows(frames)])
    sizes = np.concatenate([share, np.full(c, kappa), e])
    solved, weights = ridge(every, np.concatenate([labels, range(c), range(c)]), sizes, c)
    return rows(sums + 0.3 * frames + kappa * text), solved, weights, every


def formula(t, s, frames, lessons, labels, images):
    """The mean probability of the grid for every image, every moment left out by solving without it."""
    c, labels, n = len(t), np.array(labels), len(lessons)
    moments = [
        [j for j in range(n) if labels[j] == labels[i] and (lessons[i] @ lessons[j] > 0.98 or i == j)] for i in range(n)
    ]
    share = np.array([1 / len(one) for one in moments])
    means = np.stack([np.average(lessons[labels == k], 0, share[labels == k]) for k in np.unique(labels)])
    middle = (frames.sum(0) + share.sum() * means.mean(0)) / (len(frames) + share.sum())
    a, x, f = (lift(some - middle) for some in (lessons, images, frames))
    text = np.pad(rows(t - t.mean(0)), ((0, 0), (0, 1)))
    per_class = np.bincount(labels, share, minlength=c)
    doubt = 1 / (1 + (per_class > 1.5).mean() * share.sum() / 16)
    best = np.exp(log_softmax(s * np.concatenate([frames, lessons]) @ t.T))
    sure = np.average(best.max(1), weights=np.concatenate([np.ones(len(frames)), share]))
    right_ones, m = share @ (best[len(frames) :].argmax(1) == labels), share.sum()
    by_chance = exp(lgamma(right_ones + 1) + lgamma(m - right_ones + 1) - lgamma(m + 2))
    mistakes = 1 / (1 + by_chance / (0.03**right_ones * 0.97 ** (m - right_ones)))
    own = np.arange(n), labels

    def log_likely(u, w, score):
        return log_softmax(u * s * lessons @ t.T + w * score)[own]

    tell = [log_likely(u, w, a @ text.T) @ share for u in TEXT for w in MEANS]
    known = max(float(np.clip(1 + max(tell) / share.sum() / np.log(c), 0, 1)), mistakes * sure**2)
    unheard, no_frames = {}, np.zeros_like(text)
    for kappa in WORTH:
        whole, solved, weights, every = prototypes(a, labels, share, text, kappa, no_frames)
        size = np.linalg.norm(solved, axis=1).mean()
        by_means, by_ridge = a @ whole.T, np.empty((n, c))
        for i in range(n):
            left = [j for j in range(n) if j not in moments[i]]
            others = prototypes(a[left], labels[left], share[left], text, kappa, no_frames)[0]
            by_means[i, labels[i]] = a[i] @ others[labels[i]]
            rest = np.array([j for j in range(len(every)) if j not in moments[i]])  # at the same weights
            truth = np.eye(c)[np.concatenate([labels, range(c), range(c)])[rest]] - 1 / c
            inner = every[rest].T @ (weights[rest, None] * every[rest]) + np.eye(a.shape[1])
            by_ridge[i] = a[i] @ np.linalg.solve(inner, every[rest].T @ (weights[rest, None] * truth)) / size
        unheard[0, kappa], unheard[1, kappa] = by_means, by_ridge
    weight, likely = {}, {}
    for (part, kappa), score in unheard.items():
        for u in TEXT:
            for w in MEANS:
                likely[part, kappa, u, w] = np.exp(log_likely(u, w, score))
                loss = -share @ np.log(0.999 * likely[part, kappa, u, w] + 0.001 / c) / 2
                loss += doubt * (np.log((w + 1) / 11) ** 2 + (np.log2(kappa) + 1 - 7 * known) ** 2)
                loss += 4 / m * (1 - u)
                weight[part, kappa, u, w] = np.exp(-loss)
    total = sum(weight.values())
    weight = {one: p / total for one, p in weight.items() if p / total >= 1e-3}
    weight = {one: p / sum(weight.values()) for one, p in weight.items()}

    def answer(of, z, sums):
        found = 0.0
        for (part, kappa, u, w), p in weight.items():
            whole, solved, *_ = prototypes(a, labels, share, text, kappa, sums)
            row = solved / np.linalg.norm(solved, axis=1).mean() if part else whole
            found = found + p * np.exp(log_softmax(u * z + w * of @ row.T))
        return found

    told = np.log(sum(p * likely[one] for one, p in weight.items())) @ share / share.sum()
    worth, sums = max(np.clip(1 + told / np.log(c), 0, 1), (1 - doubt) / 2), no_frames
    for _ in range(2):
        p = answer(f, s * frames @ t.T, sums) / (frames @ frames.T > 0.98).sum(1)[:, None]
        sums = worth * p.T @ f
    few, near = np.exp(-((m / 4) ** 2)), np.clip(((x @ a.T).max(1) - 0.2) / 0.5, 0, 1)
    told, zero_shot = 1 - few * (1 - near)[:, None], np.exp(log_softmax(s * images @ t.T))
    return told * answer(x, s * images @ t.T, sums) + (1 - told) * zero_shot


@pytest.mark.parametrize(("classes", "each"), [(2, 1), (2, 3), (5, 1), (5, 4)])
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
    expected = formula(t, text.scale, seen, x, chosen, images)
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


@pytest.mark.parametrize(
    ("frames", "noise"), [(1, 0), (1, 0.01), (4, 0), (4, 0.001), (4, 0.01), (4, 0.1), (40, 0), (40, 0.01), (40, 0.1)]
)
def test_a_camera_that_nothing_passes_answers_the_lesson_about_its_scene(frames, noise):
    """What differs between its frames is noise, and tells nothing."""
    draw = torch.Generator().manual_seed(1)
    text = space(3)

    def seen(scene, count):
        return unit(scene + noise * unit(torch.randn(count, len(scene), generator=draw)))

    for scene in pictures(5, 1)[0]:
        lesson, later = seen(scene, 1).half().float(), seen(scene, 6)
        for label in range(3):
            memory = taught(Taught(), text, lesson, [label], frames=seen(scene, frames))
            before = (text.scale * later @ text.features.T).softmax(1).numpy()[:, label]
            found = np.exp(log_softmax(answers(Taught(), text, later, memory)))[:, label]
            assert (found > 0.5).all() or (found > before - 0.1).all()
            assert np.ptp(found) < 0.4


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


def burst(feature, times, amiss, seed=0):
    """[times, d] of one thing in a row of frames."""
    draw = torch.Generator().manual_seed(seed)
    return unit(feature + amiss * torch.randn(times, len(feature), generator=draw) / len(feature) ** 0.5)


def learn(text, lessons, frames):
    """A memory that was taught (feature, label, seconds), in the order given."""
    strategy, memory = Taught(), Taught().begin(text)
    with torch.inference_mode():
        for frame in frames:
            _, memory = strategy.adapt(evidence(frame, text), memory)
        for feature, label, seconds in lessons:
            memory = strategy.teach(Evidence(feature[None], text, time=seconds), label, memory)
        return apply_fit(memory, strategy.fit(memory, text))


@pytest.mark.parametrize(("amiss", "apart"), [(0.05, 60.0), (0.2, 0.1)], ids=["alike", "soon after another"])
def test_bursts_of_frames_do_not_pass_for_agreement(amiss, apart):
    text, (features, labels) = space(5), pictures(5, 20, apart=0.25)
    once = [(features[i], labels[i], 1e9 + 1000.0 * i) for i in range(5)]
    often = [
        (one, label, seconds + apart * k)
        for feature, label, seconds in once
        for k, one in enumerate(burst(feature, 8, amiss))
    ]
    unnoticed = [(feature, label, None) for feature, label, _ in often]
    alone, many, fooled = (learn(text, some, features[20:]) for some in (once, often, unnoticed))
    surest = [float(np.exp(answers(Taught(), text, features[20:], one)).max(1).mean()) for one in (alone, many, fooled)]
    assert surest[1] < surest[0] + 0.05
    assert amiss < 0.1 or surest[2] > surest[1] + 0.1  # only the moment tells


def test_different_pictures_at_one_moment_are_several_lessons():
    text, (features, labels) = space(5), pictures(5, 20)
    at_once, by_and_by = (
        learn(text, [(features[i], labels[i], 1e9 + i * step) for i in range(20)], features[20:]) for step in (0.01, 60)
    )
    assert torch.equal(at_once.weight, by_and_by.weight) and torch.equal(at_once.ridge, by_and_by.ridge)


def foreign(memory, text, features):
    """The memory after lessons that say "none of these", fitted."""
    with torch.inference_mode():
        for feature in features:
            memory = Taught().teach_none(evidence(feature, text), memory)
        return apply_fit(memory, Taught().fit(memory, text))


def test_pictures_like_those_of_none_of_the_classes_are_answered_with_less_confidence():
    text, (features, labels) = space(5), pictures(8, 40)
    known, others = ([i for i in range(320) if (labels[i] < 5) == kind] for kind in (True, False))
    lessons, measured, strangers = known[:40], features[known[100:]], features[others[12:]]
    before = taught(Taught(), text, features[lessons], [labels[i] for i in lessons], features[known[40:100]])
    after = foreign(before, text, features[others[:12]])
    p = {
        (name, when): np.exp(answers(Taught(), text, some, memory))
        for name, some in (("known", measured), ("strangers", strangers))
        for when, memory in (("before", before), ("after", after))
    }
    for name in ("known", "strangers"):
        assert (p[name, "before"].argmax(1) == p[name, "after"].argmax(1)).mean() > 0.99
        np.testing.assert_allclose(p[name, "after"].sum(1), 1, atol=1e-5)
    sure = {key: value.max(1).mean() for key, value in p.items()}
    assert sure["strangers", "after"] < 0.6 * sure["strangers", "before"]
    assert sure["known", "after"] > 0.85 * sure["known", "before"]
    none = [
        [Taught().explain(evidence(x, text), after)["none_of_these"] for x in some] for some in (measured, strangers)
    ]
    assert np.mean(np.array(none[1])[:, None] > np.array(none[0])) > 0.9  # AUC
    assert "none_of_these" not in Taught().explain(evidence(measured[0], text), before)


def test_lessons_of_none_alone_concern_pictures_like_them():
    text, (features, labels) = space(5), pictures(8, 12)
    stranger, others = features[7], features[[i for i in range(96) if labels[i] < 5]]
    memory = foreign(Taught().begin(text), text, [stranger])
    with torch.inference_mode():
        for frame in features:
            _, memory = Taught().adapt(evidence(frame, text), memory)
    memory = apply_fit(memory, Taught().fit(memory, text))
    assert not Taught().fit_is_due(memory)
    plain = np.stack([evidence(x, text).logits()[0].double().numpy() for x in others])
    same = (answers(Taught(), text, others, memory) == plain).all(1)
    assert same.mean() > 0.6  # bit for bit
    change = np.exp(answers(Taught(), text, others, memory)).max(1) / np.exp(log_softmax(plain)).max(1)
    assert (change[~same] > 0.7).all()
    again = unit(stranger + 0.05 * others[0])
    assert Taught().explain(evidence(again, text), memory)["none_of_these"] > 0.4
    before, after = evidence(again, text).logits()[0], answers(Taught(), text, again[None], memory)[0]
    assert np.exp(after).max() < 0.7 * float(before.softmax(0).max()) and after.argmax() == before.argmax()


@pytest.mark.parametrize("lessons", [0, 1, 5, 30])
def test_one_lesson_of_none_lowers_no_confidence_in_pictures_unlike_it(lessons):
    text, (features, labels) = space(5), pictures(8, 40)
    known = [i for i in range(320) if labels[i] < 5]
    memory = taught(
        Taught(), text, features[known[:lessons]], [labels[i] for i in known[:lessons]], features[known[30:90]]
    )
    after = foreign(map_tensors(memory, Tensor.clone), text, features[7:8])
    measured = features[known[90:]]
    sure = [
        np.exp(log_softmax(answers(Taught(), text, measured, map_tensors(one, Tensor.clone)))).max(1)
        for one in (memory, after)
    ]
    assert (sure[1] / sure[0]).mean() > 0.95


@pytest.mark.parametrize("label", range(4))
def test_a_lesson_never_makes_its_label_less_likely_in_its_own_scene(label):
    """As the light goes, its frames come to differ more than pictures of two classes do."""
    text, (features, _), draw = space(4, scale=30.0), pictures(6, 1), torch.Generator().manual_seed(2)
    dark = unit(torch.randn(48, generator=draw))
    for scene in features:
        scenes = torch.stack([unit((1 - a) * scene + a * dark) for a in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)])
        for seen in (scenes[:1], scenes[:3], scenes[4:6]):
            memory = taught(Taught(), text, scenes[:1], [label], frames=seen.repeat(3, 1))
            before = (text.scale * scenes @ text.features.T).softmax(1).numpy()[:, label]
            found = np.exp(log_softmax(answers(Taught(), text, scenes, memory)))[:, label]
            assert (found > before - 0.08).all()
            assert found[0] > max(0.5, before[0] - 0.02) or before[0] < 0.2


def test_one_lesson_leaves_pictures_unlike_it_nearly_as_they_were():
    text, (features, labels) = space(5, scale=30.0), pictures(5, 20)
    plain = np.stack([evidence(x, text).logits()[0].softmax(0).numpy() for x in features[1:]])
    memory = taught(Taught(), text, features[:1], labels[:1], features[40:])
    unlike = [i for i in range(99) if labels[i + 1] != labels[0]]
    found = np.exp(log_softmax(answers(Taught(), text, features[1:], memory)))
    assert np.abs(found - plain).max(1)[unlike].mean() < 0.05


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
