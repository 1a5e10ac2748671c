"""The counter-based generator against plain integers."""

from __future__ import annotations

import numpy as np
import pytest

from tta_service.images.random_crops import uniforms

WORD = 2**64


def by_hand(seed: int, view: int, draw: int) -> float:
    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % WORD
        x = (x ^ x >> 27) * 0x94D049BB133111EB % WORD
        return x ^ x >> 31

    golden = 0x9E3779B97F4A7C15
    key = mix((mix(seed % WORD) + (view + 1) * golden) % WORD)
    return (mix((key + (draw + 1) * golden) % WORD) >> 11) / 2**53


@pytest.mark.parametrize("seed", [0, 1, 7, 2**63, 2**64 - 1, 2**64 + 7, -1])
def test_equal_to_the_same_in_plain_integers(seed):
    table = uniforms(seed, 5, 40)
    assert table.tolist() == [[by_hand(seed, view, draw) for draw in range(40)] for view in range(5)]


def test_the_first_numbers_never_change():
    """Answers are reproducible across versions of the service, hence this constant."""
    assert uniforms(0, 2, 2).tolist() == [
        [0.6524484863740322, 0.7012121095215252],
        [0.27623358227789463, 0.21586845960432577],
    ]


def test_rows_and_columns_do_not_depend_on_how_many_there_are():
    assert (uniforms(3, 64, 50)[:7, :9] == uniforms(3, 7, 9)).all()


def test_uniform_and_unrelated():
    table = uniforms(1, 2000, 50)
    assert 0 <= table.min() < 1e-3 < 1 - 1e-3 < table.max() < 1
    histogram = np.histogram(table, 20, (0, 1))[0] / table.size
    assert np.abs(histogram - 0.05).max() < 0.003
    neighbours = [
        table[:-1].ravel(),
        table[1:].ravel(),
        uniforms(2, 2000, 50)[:-1].ravel(),
        np.roll(table, 1, 1)[:-1].ravel(),
    ]
    assert np.abs(np.corrcoef(neighbours) - np.eye(4)).max() < 0.02
