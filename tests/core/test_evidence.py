from __future__ import annotations

import torch

from tta_service import Evidence, TextSpace
from tta_service.core.evidence import Views


def test_logits_are_scaled_cosines():
    text = TextSpace.of(torch.eye(2, 3), scale=10)
    seen = Evidence(torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]), text)
    torch.testing.assert_close(seen.logits(), torch.tensor([[6.0, 8.0], [0.0, 0.0]]))
    torch.testing.assert_close(seen.logits(torch.tensor([[0.0, 1.0, 0.0]])), torch.tensor([[8.0], [0.0]]))


def test_fewer_views_are_the_first_ones():
    views = Views(torch.arange(4).view(4, 1, 1, 1), torch.rand(4, 4), torch.tensor([False, True, True, False]))
    fewer = views.first(2)
    assert len(fewer) == 2 and fewer.pixels.flatten().tolist() == [0, 1]
    assert torch.equal(fewer.boxes, views.boxes[:2]) and fewer.flipped.tolist() == [False, True]
