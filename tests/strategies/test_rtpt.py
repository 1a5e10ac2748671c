from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence
from tta_service.maths import unit
from tta_service.strategies.mean import Mean
from tta_service.strategies.rtpt import RTPT

from .streams import answers, derive_answers, entropy, softmax, space


def derivation(neighbours=20, temperature=0.01, confident=0.3, compat=False):
    """One view after the other, in float64."""

    def run(frames, text, scale, margin):
        for views in frames:
            z = scale * views @ text.T
            kept = np.arange(len(z))
            if not compat:
                kept = margin.surest(entropy(softmax(z)), max(1, int(len(z) * confident)))
            reliability = []
            for i in kept:
                others = [views[i] @ views[j] for j in kept if not np.array_equal(views[i], views[j])]
                reliability.append(np.mean(sorted(others, reverse=True)[:neighbours]) if others else 0.0)
            weight = softmax(np.array(reliability) / temperature)
            yield weight @ z[kept] if compat else np.log(weight @ softmax(z[kept]))

    return run


CASES = [
    (7, 64, {}),
    (7, 1, {}),
    (1, 5, {}),
    (40, 24, {"neighbours": 3, "confident": 1.0}),
    (7, 16, {"temperature": 0.1, "confident": 0.5}),
    (7, 32, {"compat": True}),
    (1000, 8, {"neighbours": 512, "confident": 1.0}),
]


@pytest.mark.parametrize("classes, rows, fields", CASES)
def test_equals_the_formula(classes, rows, fields):
    frames, expected = derive_answers(derivation(**fields), space(classes), rows, 150)
    np.testing.assert_allclose(answers(RTPT(**fields), frames), expected, atol=2e-3)


def test_a_view_that_stands_alone_counts_less_than_those_that_agree():
    text = space(5)
    draw = torch.Generator().manual_seed(0)
    alike = unit(text.features[:1] + 0.05 * torch.randn(6, 48, generator=draw))
    odd = text.features[3:4]
    weight = RTPT(confident=1.0).explain(Evidence(torch.cat([odd, alike]), text), None)["weight"]
    assert torch.as_tensor(weight).argmin() == 0 and float(torch.as_tensor(weight).sum()) == pytest.approx(1)


def test_a_high_temperature_is_the_mean_of_the_same_views():
    text = space(5)
    views = unit(torch.randn(9, 48, generator=torch.Generator().manual_seed(1)))
    even, _ = RTPT(temperature=10, confident=0.5).adapt(Evidence(views, text), None)
    torch.testing.assert_close(even, Mean(confident=0.5).adapt(Evidence(views, text), None)[0], atol=0.05, rtol=0)


def test_copies_of_a_view_do_not_vouch_for_it():
    text = space(5)
    draw = torch.Generator().manual_seed(2)
    agreeing = unit(text.features[:1] + 0.05 * torch.randn(4, 48, generator=draw))
    odd = unit(torch.randn(1, 48, generator=draw))
    seen = Evidence(torch.cat([agreeing, odd.repeat(8, 1)]), text)
    weight = torch.as_tensor(RTPT(confident=1.0).explain(seen, None)["weight"])
    assert float(weight[:4].min()) > float(weight[4:].max())


def test_identical_views_are_zero_shot_and_rows_chosen_before_are_used():
    text = space(5)
    plain = unit(torch.randn(1, 48, generator=torch.Generator().manual_seed(3)))
    logits, _ = RTPT().adapt(Evidence(plain.repeat(30, 1), text), None)
    torch.testing.assert_close(logits, (text.scale * text.features @ plain[0]).log_softmax(0), atol=1e-4, rtol=0)
    views = unit(torch.randn(8, 48, generator=torch.Generator().manual_seed(4)))
    explained = RTPT().explain(Evidence(views, text, torch.tensor([6, 1])), None)
    assert torch.as_tensor(explained["kept"]).tolist() == [6, 1]
