"""Sites that exchange sums answer as one site that had all lessons, or nearly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service.core import catalogue
from tta_service.core.labels import LabelSet
from tta_service.core.lesson_sums import LessonSums
from tta_service.core.strategy import apply_fit, takes_sums
from tta_service.strategies.gda import GDA
from tta_service.strategies.taught import Taught
from tta_service.sums import sum_up

from .lessons import answers, evidence, pictures, space


def sums_of(features: torch.Tensor, labels: list[int], classes: int) -> LessonSums:
    return sum_up(features, torch.tensor(labels, dtype=torch.int64), LabelSet(tuple(map(str, range(classes)))), None)


def learn(strategy, text, features, labels, *sums: LessonSums):
    memory = strategy.begin(text)
    with torch.inference_mode():
        for one in sums:
            memory = strategy.add_sums(one, memory)
        for feature, label in zip(features, labels, strict=True):
            memory = strategy.teach(evidence(feature, text), label, memory)
        assert strategy.fit_is_due(memory)
        return apply_fit(memory, strategy.fit(memory, text))


def test_those_learn_from_sums_that_say_so():
    names = catalogue.strategies.names()
    assert {name for name in names if takes_sums(catalogue.strategies.build(name))} == {"gda", "taught"}


@pytest.mark.parametrize("own", [0, 20, 60])
def test_gda_answers_as_one_site_with_all_lessons(own):
    text, (features, labels) = space(5), pictures(5, 32)
    there = [sums_of(features[start:end], labels[start:end], 5) for start, end in ((own, 80), (80, 100))]
    strategy = GDA(alpha=0.7)
    found = answers(strategy, text, features[100:], learn(strategy, text, features[:own], labels[:own], *there))
    whole = answers(strategy, text, features[100:], learn(strategy, text, features[:100], labels[:100]))
    np.testing.assert_allclose(found, whole, rtol=1e-3, atol=2e-2)
    assert (found.argmax(1) == whole.argmax(1)).all()


@pytest.mark.parametrize("own", [0, 20])
def test_taught_gains_by_sums_nearly_what_it_gains_by_the_lessons(own):
    classes, right = 10, {"alone": [], "shared": [], "whole": []}
    for seed in range(3):
        text, (features, labels) = space(classes, seed), pictures(classes, 30, seed, apart=0.25)
        there = sums_of(features[own:100], labels[own:100], classes)
        strategy, truth = Taught(), np.array(labels[100:])
        memories = {
            "alone": learn(strategy, text, features[:own], labels[:own]) if own else strategy.begin(text),
            "shared": learn(strategy, text, features[:own], labels[:own], there),
            "whole": learn(strategy, text, features[:100], labels[:100]),
        }
        for name, memory in memories.items():
            right[name].append((answers(strategy, text, features[100:], memory).argmax(1) == truth).mean())
    alone, shared, whole = (float(np.mean(right[name])) for name in ("alone", "shared", "whole"))
    assert shared > alone + 0.1
    assert shared > whole - 0.1


def test_sums_of_no_lessons_change_nothing():
    text, (features, labels) = space(5), pictures(5, 8)
    nothing = sums_of(features[:0], [], 5)
    for strategy in (GDA(), Taught()):
        alone = answers(strategy, text, features[20:], learn(strategy, text, features[:20], labels[:20]))
        with_none = answers(strategy, text, features[20:], learn(strategy, text, features[:20], labels[:20], nothing))
        assert (alone == with_none).all()
