from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tta_service.clip.hardware import why_not
from tta_service.clip.image.linear import Int8Linear, Int8Weight, quantize

# Before VNNI, sums of pairs of products saturate at 16 bits: such CPUs are refused, and their results are not tested.
pytestmark = pytest.mark.skipif(bool(why_not("int8", torch.device("cpu"))), reason="this CPU has no VNNI")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bias", [drawn(24, seed=2), None])
@pytest.mark.parametrize("kind", [Int8Linear, Int8Weight])
def test_it_is_close_to_the_float32_layer(kind, bias):
    x, weight = drawn(3, 5, 64), drawn(24, 64, seed=1)
    exact, near = F.linear(x, weight, bias), kind(weight, bias)(x)
    assert near.shape == exact.shape and near.dtype == x.dtype
    assert not torch.equal(near, exact)
    assert (near - exact).norm() < 0.02 * exact.norm()


def test_sums_are_exact():
    x, weight = drawn(7, 300), drawn(9, 300, seed=1)
    (a, a_scale), (w, w_scale) = quantize(x), quantize(weight)
    by_hand = (a.double() @ w.double().T) * a_scale * w_scale.T
    torch.testing.assert_close(Int8Linear(weight, None)(x), by_hand.float(), rtol=1e-6, atol=1e-6)


def test_the_largest_entry_of_a_row_uses_the_whole_byte():
    values, scale = quantize(torch.tensor([[1.0, -254.0, 0.4], [0.0, 0.0, 0.0]]))
    assert values.tolist() == [[0, -127, 0], [0, 0, 0]] and scale[0].item() == 2.0
    assert quantize(torch.tensor([[3.0, -1.5]]))[0].tolist() == [[127, -64]]


def test_a_tokens_result_is_independent_of_its_neighbours():
    quiet, loud, layer = drawn(6, 64), 1e4 * drawn(2, 64, seed=1), Int8Linear(drawn(24, 64, seed=2), None)
    together = layer(torch.cat([quiet, loud]))[:6]
    assert torch.equal(together, layer(quiet))
    assert torch.equal(together, torch.cat([layer(row[None]) for row in quiet]))


def test_one_scale_for_all_rows_would_round_the_small_ones_to_zero():
    x = torch.cat([drawn(6, 64), 1e4 * drawn(2, 64, seed=1)])
    shared = (x / (x.abs().max() / 127)).round()[:6]
    assert shared.abs().max() == 0  # so the test above would fail


def test_half_precision_goes_through():
    layer, x = Int8Linear(drawn(24, 64, seed=1), None), drawn(5, 64)
    half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert F.cosine_similarity(half.float(), layer(x)).min() > 0.999
