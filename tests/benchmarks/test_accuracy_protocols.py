"""Streams that drift: what changes when, and that nothing else does."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from benchmarks.accuracy.protocols import (
    PROTOCOLS,
    Drift,
    Scene,
    abrupt,
    correlated,
    gradual,
    imbalanced,
    recurring,
    stationary,
)
from tta_service.evaluate.cells import Cell

SCENE = Scene("set", np.random.default_rng(0).integers(0, 10, 240), ("fog", 3), 240)


def drawn(protocol, seed: int = 0) -> Drift:
    return protocol(SCENE, np.random.default_rng(seed))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_stream_is_seeded_and_as_long_as_it_should_be(protocol):
    one = drawn(protocol)
    assert len(one.cells) == len(one.picture) == len(one.blocks) == 240
    assert one.name == protocol.__name__
    assert (one.picture == drawn(protocol).picture).all()
    assert (one.picture != drawn(protocol, 1).picture).any()
    assert all(0 < place < 240 for place in one.changes)


@pytest.mark.parametrize("protocol", [stationary, abrupt, gradual, recurring])
def test_where_the_shift_matters_every_picture_comes_once_and_keeps_its_cell(protocol):
    one, other = drawn(protocol), drawn(protocol, 1)
    assert sorted(one.picture) == list(range(240))
    assert dict(zip(one.picture, one.cells)) == dict(zip(other.picture, other.cells))
    assert one.cells == other.cells


def phases(one: Drift) -> list[tuple[str, int]]:
    return [(cell.shown, len(list(some))) for cell, some in groupby(one.cells)]


def test_each_frame_has_the_cell_of_its_moment():
    assert phases(drawn(stationary)) == [("clean", 240)]
    assert phases(drawn(abrupt)) == [("clean", 120), ("fog 3", 120)]
    assert phases(drawn(recurring)) == [("clean", 30), ("fog 3", 30)] * 4
    assert phases(drawn(gradual)) == [("clean", 40), *((f"night {n}", 40) for n in range(1, 6))]
    assert drawn(gradual).changes == {40, 80, 120, 160, 200}
    assert drawn(abrupt).changes == {120}


def test_one_class_for_many_frames_or_few_classes_for_most():
    labels = SCENE.labels[drawn(correlated).picture]
    assert all(len(set(labels[start : start + 16])) == 1 for start in range(0, 240, 16))
    assert drawn(correlated).blocks.tolist() == (np.arange(240) // 16).tolist()
    counts = np.sort(np.bincount(SCENE.labels[drawn(imbalanced).picture], minlength=10))
    assert counts[-1] > 50 and counts[:5].sum() < 70


def test_a_class_shows_all_its_pictures_before_one_comes_again():
    seen = drawn(imbalanced).picture
    for label in np.unique(SCENE.labels):
        pile = np.flatnonzero(SCENE.labels == label)
        mine = seen[SCENE.labels[seen] == label]
        first = mine[: len(pile)]
        assert len(set(first)) == len(first)


def test_too_few_pictures_are_an_error():
    with pytest.raises(ValueError, match="--count"):
        abrupt(Scene("set", np.zeros(10, int), ("fog", 3), 20), np.random.default_rng(0))


def test_cells_of_a_shift_carry_its_strength():
    assert str(Cell("set", "night", 2)) == "night2(0.5)"
