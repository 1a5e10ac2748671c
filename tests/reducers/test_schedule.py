from __future__ import annotations

import pytest

from tta_service.reducers.schedule import gradual_count, places, rate, staged_count


def multiply_adds(schedule, layers=12, patches=196, w=768):
    """All of a ViT's blocks, the part that grows with the square of the tokens included."""
    total = 0
    for layer in range(layers):
        n = patches + 1
        total += 4 * n * w * w + 2 * n * n * w
        patches = schedule(patches, layer, layers)
        total += 8 * (patches + 1) * w * w
    return total / 1e9


def test_three_stages_at_the_quarters_of_the_depth():
    assert places(12) == (3, 6, 9) and places(24) == (6, 12, 18) and places(32) == (8, 16, 24)
    assert places(4) == (0, 1, 2)  # behind the last block nothing is left to save
    assert places(2) == (0, 0, 0)


def test_patches_of_a_vit_b_16():
    left, patches = [], 196
    for layer in range(12):
        patches = staged_count(patches, layer, 12, 0.7)
        left.append(patches)
    assert left == [196] * 3 + [138] * 3 + [97] * 3 + [68] * 3
    assert patches / 196 == pytest.approx(0.34, abs=0.01)


@pytest.mark.parametrize("patches", [1, 2, 3, 10, 49])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.7, 1.0])
def test_something_is_always_left_and_seven_tenths_of_ten_are_seven(patches, keep):
    assert 1 <= staged_count(patches, 3, 12, keep) <= patches
    assert staged_count(10, 3, 12, 0.7) == 7
    assert staged_count(patches, 5, 12, keep) == patches


@pytest.mark.parametrize("keep", [0.9, 0.7, 0.5, 0.4])
@pytest.mark.parametrize("layers", [4, 12, 24])
def test_the_gradual_schedule_costs_the_same(keep, layers):
    stages = multiply_adds(lambda *at: staged_count(*at, keep), layers)
    steps = multiply_adds(lambda *at: gradual_count(*at, keep), layers)
    assert steps == pytest.approx(stages, rel=0.03)


def test_cost_at_seven_tenths():
    share = multiply_adds(lambda *at: staged_count(*at, 0.7)) / multiply_adds(lambda patches, *_: patches)
    assert share == pytest.approx(0.652, abs=0.001)


def test_keeping_all_is_keeping_all():
    assert rate(1.0, 12) == 1.0 and gradual_count(196, 5, 12, 1.0) == 196
    assert gradual_count(196, 11, 12, 0.5) == 196
