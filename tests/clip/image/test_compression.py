from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tta_service.clip.image.compression import Compression, low_rank, parse_compression, prune_smallest
from tta_service.clip.image.linear import plain


def draw_normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("outputs", "inputs"), [(40, 64), (64, 40)])
def test_low_rank_is_the_best_of_that_rank(outputs, inputs):
    weight, bias, x = draw_normal(outputs, inputs), draw_normal(outputs, seed=1), draw_normal(3, 5, inputs, seed=2)
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    best = F.linear(x.double(), (u[:, :8] * s[:8]) @ v[:8], bias.double())
    layer = low_rank(8, plain)(weight, bias)
    # A float32 SVD on this side would be off by 1.4e-4; ours is taken in float64, and its two factors are off by two
    # products, u·√n·|x|·s₁ = 7e-5. Measured: 3.5e-6 with AVX-512, 4.3e-6 with AVX2, 4.2e-6 default.
    torch.testing.assert_close(layer(x).double(), best, rtol=1e-4, atol=1e-4)
    assert weight.numel() == 0  # the factors alone are kept


def test_what_two_factors_would_not_make_smaller_stays_whole():
    weight, x = draw_normal(40, 64), draw_normal(3, 64, seed=2)
    layer = low_rank(25, plain)(weight, None)  # 25 · 104 > 40 · 64
    assert torch.equal(layer(x), F.linear(x, weight))


def test_pruning_has_one_threshold_for_all():
    small, large = 0.1 * draw_normal(10, 20), draw_normal(30, 10, seed=1)
    before = torch.cat([small.flatten(), large.flatten()])
    prune_smallest([small, large], 0.4)
    after = torch.cat([small.flatten(), large.flatten()])
    cut = before.abs().sort().values[200]  # 0.4 of 500
    assert torch.equal(after, torch.where(before.abs() < cut, 0.0, before))
    assert (small == 0).float().mean() > 0.7 > (large == 0).float().mean()


@pytest.mark.parametrize(
    ("text", "compression"),
    [("", Compression()), ("svd:64", Compression(rank=64)), ("prune:0.3", Compression(ratio=0.3))],
)
def test_parse_compression(text, compression):
    assert parse_compression(text) == compression


@pytest.mark.parametrize("text", ["svd", "svd:0", "svd:-3", "svd:1.5", "prune:1.0", "prune:0.0", "prune:30", "zip:9"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"svd:RANK or prune:RATIO"):
        parse_compression(text)
