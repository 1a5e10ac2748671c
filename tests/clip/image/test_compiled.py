from __future__ import annotations

import pytest
import torch

from tta_service.clip.image.compiled import SIZES, plan, run_in_buckets


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        (1, [(1, 1)]),
        (3, [(3, 4)]),
        (5, [(4, 4), (1, 1)]),
        (7, [(7, 8)]),
        (9, [(8, 8), (1, 1)]),
        (64, [(64, 64)]),
        (150, [(64, 64), (64, 64), (16, 16), (6, 8)]),
        (0, []),
    ],
)
def test_plan(rows, runs):
    assert list(plan(rows, SIZES)) == runs


@pytest.mark.parametrize("rows", range(1, 200, 7))
def test_every_row_comes_back_once_and_in_order(rows):
    seen: list[int] = []

    def run(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return 2 * x[:, :1]

    x = torch.randn(rows, 5)
    assert torch.equal(run_in_buckets(run, x), 2 * x[:, :1])
    assert set(seen) <= set(SIZES) and sum(seen) < 4 / 3 * rows + 1


def test_what_fills_a_run_is_zero():
    filled: list[torch.Tensor] = []
    run_in_buckets(lambda x: filled.append(x) or x, torch.ones(3, 2))
    assert filled[0].tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
