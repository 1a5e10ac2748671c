"""Lessons in the caches that fill themselves: pinned, never evicted by frames, struck from wrong classes."""

from __future__ import annotations

import pytest
import torch

from tta_service import Evidence
from tta_service.strategies.adapt import Adapt
from tta_service.strategies.boost_adapter import BoostAdapter
from tta_service.strategies.dmn import DMN
from tta_service.strategies.dota import DOTA
from tta_service.strategies.oga import OGA
from tta_service.strategies.tda import TDA

from .lessons import evidence, pictures, space

BOTH = pytest.mark.parametrize("strategy", [TDA(), BoostAdapter(), BoostAdapter(compat=True)], ids=repr)


BANKS = pytest.mark.parametrize(
    "strategy", [DMN(slots=3), OGA(capacity=3), Adapt(capacity=3), Adapt(capacity=3, compat=True)], ids=repr
)


def see(strategy, memory, images):
    with torch.inference_mode():
        for image in images:
            _, memory = strategy.adapt(image, memory)
    return memory


def certain(text, label):
    """An image that is a class's text itself: surer than any other."""
    return evidence(text.features[label], text)


@BOTH
def test_a_lesson_outlives_surer_frames(strategy):
    text, (features, _) = space(4), pictures(4, 2)
    memory = see(strategy, strategy.begin(text), [evidence(one, text) for one in features])
    memory = strategy.teach(evidence(features[0], text), 2, memory)
    memory = see(strategy, memory, [certain(text, 2)] * 10)
    assert any(torch.equal(key, features[0]) for key in memory.keys[2])


@BOTH
def test_a_frame_leaves_the_class_that_it_was_taken_for(strategy):
    text, (features, _) = space(4), pictures(4, 2)
    image = evidence(features[0], text)
    memory = see(strategy, strategy.begin(text), [image])
    taken = int(image.logits()[0].argmax())
    assert any(torch.equal(key, features[0]) for key in memory.keys[taken][memory.entropy[taken].isfinite()])
    right = (taken + 1) % 4
    memory = strategy.teach(image, right, memory)
    for label in range(4):
        held = [torch.equal(key, features[0]) for key in memory.keys[label][memory.entropy[label].isfinite()]]
        assert any(held) == (label == right)
    assert (memory.entropy.diff(dim=1).nan_to_num(0) >= 0).all()
    negative = memory.negative_keys[memory.negative_entropy.isfinite()]
    assert not any(torch.equal(key, features[0]) for key in negative)


@BOTH
def test_a_later_lesson_displaces_the_oldest_of_a_full_class(strategy):
    text, (features, _) = space(4), pictures(4, 2)
    memory = strategy.begin(text)
    for one in features[:5]:
        memory = strategy.teach(evidence(one, text), 1, memory)
    assert [int((features == key).all(1).nonzero()) for key in memory.keys[1]] == [4, 3, 2]


@BOTH
def test_a_lesson_draws_its_like_to_its_class(strategy):
    text, (features, labels) = space(4), pictures(4, 6, apart=1.0)
    plain, memory = strategy.begin(text), strategy.begin(text)
    for i in range(12):
        memory = strategy.teach(evidence(features[i], text), labels[i], memory)
    with torch.inference_mode():
        for i in range(12, 24):
            seen = Evidence(features[i][None], text)
            before, plain = strategy.adapt(seen, plain)
            after, memory = strategy.adapt(seen, memory)
            assert after.softmax(0)[labels[i]] >= before.softmax(0)[labels[i]]


@BANKS
def test_lessons_outlive_frames_and_the_oldest_goes_first(strategy):
    text, (features, _) = space(4), pictures(4, 3)
    memory = see(strategy, strategy.begin(text), [evidence(one, text) for one in features])
    for one in features[:2]:
        memory = strategy.teach(evidence(one, text), 1, memory)
    memory = see(strategy, memory, [certain(text, 1)] * 10)

    def held():
        return {i for i, one in enumerate(features) for key in memory.features[1] if torch.equal(key, one)}

    assert {0, 1} <= held()
    for one in features[2:5]:
        memory = strategy.teach(evidence(one, text), 1, memory)
    assert held() == {2, 3, 4}


@pytest.mark.parametrize("strategy", [DMN(), OGA(), Adapt(), DOTA(), DOTA(rho=0.02)], ids=repr)
def test_a_lesson_draws_its_like_to_its_class_in_a_bank(strategy):
    text, (features, labels) = space(4), pictures(4, 6, apart=1.0)
    memory = strategy.begin(text)
    before = see_right(strategy, strategy.begin(text), text, features[12:], labels[12:])
    for i in range(12):
        memory = strategy.teach(evidence(features[i], text), labels[i], memory)
    assert see_right(strategy, memory, text, features[12:], labels[12:]) > before


def see_right(strategy, memory, text, features, labels):
    """The mean probability of the right class."""
    total = 0.0
    with torch.inference_mode():
        for one, label in zip(features, labels, strict=True):
            logits, memory = strategy.adapt(evidence(one, text), memory)
            total += float(logits.softmax(0)[label])
    return total / len(labels)


def test_a_lesson_of_dota_counts_for_its_weight_in_frames_of_its_class():
    text = space(4, scale=1e4)  # frames are certain, so that both sides count alike
    seen = evidence(text.features[2], text)
    once, often = (DOTA(lesson_weight=3.0).begin(text) for _ in range(2))
    once = DOTA(lesson_weight=3.0).teach(seen, 2, once)
    often = see(DOTA(), often, [seen] * 3)
    torch.testing.assert_close(once.mean, often.mean)
    torch.testing.assert_close(once.count, often.count)
    assert DOTA(lesson_weight=0.0).teach(seen, 2, DOTA().begin(text)).count.tolist() == [1, 1, 1, 1]
