from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from tta_service import Evidence, TextSpace
from tta_service.core.errors import BadRequest
from tta_service.serving.pipeline.adaptation import EncodedViews, choose_confident, run_strategy
from tta_service.strategies.zero import Zero
from tta_service.strategies.zero_shot import ZeroShot

TEXT = TextSpace.of(torch.eye(3), scale=10.0)
ROWS = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0.0], [0.0, 1.0, 1.0], [0.1, 0.0, 3.0]]), dim=-1)


@dataclass(frozen=True)
class Talker(ZeroShot):
    name: ClassVar[str] = "talker"
    raises: bool = False
    lies: bool = False

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        if self.raises:
            raise ZeroDivisionError
        if self.lies:
            return {"kept": torch.tensor([99])}
        return {
            "kept": torch.tensor([2, 0]),
            "weight": torch.tensor([0.25, 0.0, 0.75]),
            "fill": 0.5,
            "loss": ROWS[0, 0],
        }


def answer(strategy: ZeroShot | Zero, encoded: EncodedViews, explain: bool = True):
    return run_strategy(strategy, encoded, TEXT, explain, False, False, None)[0]


def test_zero_shot_comes_beside_the_answer():
    given = answer(ZeroShot(), EncodedViews((ROWS[:1], ROWS[1:]), 3), explain=False)
    torch.testing.assert_close(given.zero_shot, 10 * ROWS[0])
    assert torch.equal(given.logits, given.zero_shot) and given.explanation is None


def test_a_strategy_explains_itself():
    given = answer(Talker(), EncodedViews((ROWS,), 3)).explanation
    assert given.kept.tolist() == [True, False, True]
    assert given.weight.tolist() == [0.25, 0.0, 0.75]
    assert given.notes == {"fill": 0.5, "loss": pytest.approx(float(ROWS[0, 0]))}


@pytest.mark.parametrize(
    "strategy, kept", [(Talker(raises=True), 3), (Talker(lies=True), 3), (Zero(views=3, keep=0.34), 1)]
)
def test_without_an_explanation_the_kept_views_count_equally(strategy: ZeroShot | Zero, kept: int):
    given = answer(strategy, EncodedViews((ROWS,), 3)).explanation
    assert given.kept.sum() == kept
    assert given.weight[given.kept].tolist() == pytest.approx([1 / kept] * kept)
    assert given.label.tolist() == [0, 1, 2] and given.entropy.shape == (3,)


def test_a_second_look_replaces_its_rows_only():
    kept, rows, pixels = choose_confident(EncodedViews((ROWS,), 3), TEXT, 0.34, torch.arange(3))
    assert kept.tolist() == [2] and rows.tolist() == [0, 2] and pixels.tolist() == [0, 2]
    exact = torch.nn.functional.normalize(torch.ones(2, 3), dim=-1)
    evidence = EncodedViews((ROWS,), 3, kept=kept, second_look=(rows, (exact,))).evidence(TEXT)
    assert torch.equal(evidence.views, torch.stack([exact[0], ROWS[1], exact[1]]))
    assert torch.equal(evidence.kept, kept)
    assert torch.equal(ROWS[1], evidence.views[1])


def test_fewer_rows_are_the_first_ones():
    assert torch.equal(EncodedViews((ROWS,), 2).evidence(TEXT).views, ROWS[:2])


def test_features_of_another_model_are_refused():
    with pytest.raises(BadRequest) as refused:
        run_strategy(ZeroShot(), EncodedViews((torch.ones(1, 4),), 1), TEXT, False, False, False, None)
    assert refused.value.field == "image.features.dimension"
