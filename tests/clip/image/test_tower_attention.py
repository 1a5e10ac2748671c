from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tta_service.clip.image.tower import attend, attend_without_mask, weighted_mean


def by_hand(q, k, v, sizes):
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + sizes.log()[:, None, None]
    return logits.softmax(-1) @ v


@pytest.mark.parametrize("e", [5, 8, 20, 64])
@pytest.mark.parametrize("queries", [1, 7])
def test_sizes_are_votes(e, queries):
    q, k, v = (torch.randn(2, 3, n, e, dtype=torch.float64) for n in (queries, 7, 7))
    sizes = torch.randint(1, 9, (2, 7)).double()
    expected = by_hand(q, k, v, sizes)
    torch.testing.assert_close(attend(q, k, v, sizes), expected, rtol=0, atol=1e-12)
    without_mask = attend_without_mask(q, k, v, sizes.log()[:, None])  # what other devices do
    torch.testing.assert_close(without_mask, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("queries", [1, 65])
@pytest.mark.parametrize("way", ["plain", "votes", "votes without a mask"])
def test_votes_keep_the_fast_kernel(queries, way):
    """The one that never writes the matrix of weights down: what plain attention runs."""
    q, k, v = (torch.randn(2, 3, n, 64) for n in (queries, 65, 65))
    sizes = torch.randint(1, 9, (2, 65)).float()
    runs = {
        "plain": lambda: attend(q, k, v),
        "votes": lambda: attend(q, k, v, sizes),
        "votes without a mask": lambda: attend_without_mask(q, k, v, sizes.log()[:, None]),
    }
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as run:
        runs[way]()
    called = {event.key for event in run.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in called
    assert not called & {"aten::softmax", "aten::_softmax", "aten::_scaled_dot_product_attention_math"}


def test_a_token_of_size_three_counts_as_three_equal_tokens():
    q, k, v = (torch.randn(1, 2, n, 8, dtype=torch.float64) for n in (4, 3, 3))
    repeated = torch.tensor([0, 1, 1, 1, 2])
    sizes = torch.tensor([[1.0, 3.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(attend(q, k, v, sizes), attend(q, k[:, :, repeated], v[:, :, repeated]))


def test_sizes_leave_their_inputs_alone():
    q, k, v = (torch.randn(1, 2, 4, 8) for _ in range(3))
    before = [x.clone() for x in (q, k, v)]
    attend(q, k, v, torch.full((1, 4), 2.0))
    assert all(torch.equal(x, y) for x, y in zip((q, k, v), before, strict=True))


def test_a_weighted_mean_counts_each_token_by_its_size():
    x, sizes = torch.randn(2, 3, 4), torch.tensor([[1.0, 2.0, 1.0], [3.0, 1.0, 1.0]])
    expected = torch.stack([row.repeat_interleave(n.long(), 0).mean(0) for row, n in zip(x, sizes, strict=True)])
    torch.testing.assert_close(weighted_mean(x, sizes), expected)
    torch.testing.assert_close(weighted_mean(x, torch.ones(2, 3)), weighted_mean(x, None))
