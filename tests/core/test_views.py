from __future__ import annotations

import torch

from tta_service.core.views import Views


def test_fewer_views_are_the_first_ones():
    views = Views(torch.arange(4).view(4, 1, 1, 1), torch.rand(4, 4), torch.tensor([False, True, True, False]))
    fewer = views.first(2)
    assert len(fewer) == 2 and fewer.pixels.flatten().tolist() == [0, 1]
    assert torch.equal(fewer.boxes, views.boxes[:2]) and fewer.flipped.tolist() == [False, True]
