from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence
from tta_service.strategies.mean import Mean

from .streams import answers, derive_answers, entropy, softmax, space


def derivation(fraction):
    def run(frames, text, scale, margin):
        for views in frames:
            p = softmax(scale * views @ text.T)
            kept = margin.surest(entropy(p), max(1, int(len(p) * fraction)))
            yield np.log(p[kept].mean(0))

    return run


CASES = [(7, 16, 0.3, 100.0), (7, 1, 0.3, 100.0), (2, 9, 0.1, 10.0), (1, 5, 0.5, 100.0), (1000, 8, 1.0, 100.0)]


@pytest.mark.parametrize("classes, rows, fraction, scale", CASES)
def test_equals_the_formula(classes, rows, fraction, scale):
    frames, expected = derive_answers(derivation(fraction), space(classes, scale=scale), rows, 200)
    np.testing.assert_allclose(answers(Mean(confident=fraction), frames), expected, atol=1e-3)


def test_one_view_and_identical_views_are_zero_shot():
    text = space(5)
    plain = torch.nn.functional.normalize(torch.randn(1, 48), dim=-1)
    for views in (plain, plain.repeat(9, 1)):
        logits, _ = Mean().adapt(Evidence(views, text), None)
        torch.testing.assert_close(logits, (text.scale * text.features @ plain[0]).log_softmax(0), atol=1e-4, rtol=0)


def test_rows_chosen_before_are_used_as_they_are():
    text = space(5)
    views = torch.nn.functional.normalize(torch.randn(8, 48), dim=-1)
    chosen = torch.tensor([6, 1])
    logits, _ = Mean().adapt(Evidence(views, text, chosen), None)
    expected = (text.scale * views[chosen] @ text.features.T).softmax(-1).mean(0).log()
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    explanation = Mean().explain(Evidence(views, text, chosen), None)
    assert explanation["kept"].tolist() == [6, 1] and explanation["weight"].tolist() == [0, 0.5, 0, 0, 0, 0, 0.5, 0]
