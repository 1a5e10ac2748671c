from __future__ import annotations

import torch

from tta_service import Evidence, TextSpace


def test_logits_are_scaled_cosines():
    text = TextSpace.of(torch.eye(2, 3), scale=10)
    seen = Evidence(torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]), text)
    torch.testing.assert_close(seen.logits(), torch.tensor([[6.0, 8.0], [0.0, 0.0]]))
    torch.testing.assert_close(seen.logits(torch.tensor([[0.0, 1.0, 0.0]])), torch.tensor([[8.0], [0.0]]))
