"""Entropies at the edges: certain images (0) and uniform ones (ln C) among others, for every
strategy that has a derivation in float64. Prompt tuning: test_tpt.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tta_service import Evidence, TextSpace
from tta_service.maths import unit
from tta_service.strategies.adapt import Adapt
from tta_service.strategies.boost_adapter import BoostAdapter
from tta_service.strategies.dmn import DMN
from tta_service.strategies.dota import DOTA
from tta_service.strategies.mean import Mean
from tta_service.strategies.mta import MTA
from tta_service.strategies.oga import OGA
from tta_service.strategies.tda import TDA
from tta_service.strategies.vb_weights import VBWeights
from tta_service.strategies.zero import Zero

from . import (
    test_adapt,
    test_boost_adapter,
    test_dmn,
    test_dota,
    test_mean,
    test_mta,
    test_oga,
    test_tda,
    test_vb_weights,
    test_zero,
)
from .streams import Margin, answers, rounding_error

COUNT = 200


def axes(classes: int, scale: float = 100.0) -> TextSpace:
    """Classes at right angles, so that an image can be exactly at one, and at none."""
    return TextSpace.of(torch.eye(classes, classes + 4), scale)


def at_the_edges(text: TextSpace, rows: int, seed: int) -> list[Evidence]:
    """Certain; nothing; both, view by view; and ordinary images, by turns."""
    draw = torch.Generator().manual_seed(seed)
    c, d = text.features.shape
    nothing = torch.eye(d)[d - 1]

    def image(i: int) -> Tensor:
        certain = text.features[int(torch.randint(c, (), generator=draw))]
        if i % 4 == 3:
            return unit(
                0.02 * torch.randn(rows, c, generator=draw) @ text.features + torch.eye(d)[c : c + rows % 3 + 1].sum(0)
            )
        first, second = ((certain, certain), (nothing, nothing), (certain, nothing))[i % 4]
        return torch.stack([first if v % 2 == 0 else second for v in range(rows)])

    return [Evidence(image(i), text) for i in range(COUNT)]


CASES = [
    (Zero(keep=0.5), test_zero.derivation(0.5), 8),
    (Mean(confident=0.5), test_mean.derivation(0.5), 8),
    (MTA(), test_mta.derivation(), 8),
    (TDA(views=4, confident=0.5), test_tda.derivation(TDA(confident=0.5)), 4),
    (TDA(entropy_low=0.0, entropy_high=1.0), test_tda.derivation(TDA(entropy_low=0.0, entropy_high=1.0)), 1),
    (BoostAdapter(confident=0.5), test_boost_adapter.derivation(BoostAdapter(confident=0.5)), 8),
    (BoostAdapter(compat=True), test_boost_adapter.derivation(BoostAdapter(compat=True)), 8),
    (OGA(), test_oga.derivation(OGA()), 1),
    (DOTA(rho=0.05), test_dota.derivation(DOTA(rho=0.05)), 4),
    (Adapt(), test_adapt.derivation(Adapt()), 4),
    (Adapt(compat=True), test_adapt.derivation(Adapt(compat=True)), 1),
    (DMN(), test_dmn.derivation(DMN()), 4),
    (VBWeights(), test_vb_weights.derivation(VBWeights()), 10),
]


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize(("strategy", "derivation", "rows"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_equals_the_formula(strategy, derivation, rows, classes):
    text = axes(classes)
    for seed in range(50):
        frames, margin = at_the_edges(text, rows, seed), Margin()
        plain = [seen.views.double().numpy() for seen in frames]
        expected = np.stack(list(derivation(plain, text.features.double().numpy(), text.scale, margin)))
        if margin.smallest >= 2 * rounding_error(text):
            break
    else:
        raise AssertionError("no seed keeps its decisions apart")
    np.testing.assert_allclose(answers(strategy, frames), expected, atol=2e-2)
