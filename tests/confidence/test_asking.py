"""What a person's word about a frame is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tta_service.confidence.asking import distance_to, margin_worth, stack_features, tune_threshold, worth

NONE = stack_features([], 3)


def test_a_certain_answer_is_worth_nothing_and_two_equal_ones_all():
    assert margin_worth(torch.tensor([50.0, 0.0, 0.0])) == pytest.approx(0, abs=1e-9)
    assert margin_worth(torch.tensor([3.0, 3.0, -9.0])) == pytest.approx(1, abs=1e-4)
    assert margin_worth(torch.tensor([math.log(0.6), math.log(0.3), math.log(0.1)])) == pytest.approx(0.7)
    assert margin_worth(torch.tensor([0.0, -math.inf, -math.inf])) == 0
    assert margin_worth(torch.tensor([1.0])) == 0


def test_a_picture_is_as_far_as_the_nearest_known_one():
    x = torch.tensor([1.0, 0.0, 0.0])
    assert distance_to(x, NONE) == 1
    assert distance_to(3 * x, torch.eye(3)[1:]) == pytest.approx(1)
    assert distance_to(
        x, stack_features([torch.tensor([0.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])], 3)
    ) == pytest.approx(1 - 2**-0.5)


def test_a_frame_like_a_known_one_is_worth_nothing_however_unsure_its_answer():
    unsure, x = torch.zeros(3), torch.tensor([1.0, 0.0, 0.0])
    assert worth(unsure, x, NONE) == 1
    assert worth(unsure, x, stack_features([x + torch.tensor([0.0, 0.1, 0.0])], 3)) == 0
    assert worth(unsure, x, stack_features([x + torch.tensor([0.0, 1.0, 0.0])], 3)) == pytest.approx(1 - 2**-0.5)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_threshold_lets_about_the_wished_share_pass_whatever_frames_are_worth(share: float):
    worths, threshold, passed = np.random.default_rng(0).random(4000) * np.repeat([1, 0.2], 2000), 0.5, 0
    for value in worths:
        passed += value > threshold
        threshold = tune_threshold(threshold, bool(value > threshold), share)
    assert passed / len(worths) == pytest.approx(share, rel=0.25)
