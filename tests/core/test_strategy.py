from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from tta_service import Evidence, Needs, Scope, Strategy, TextSpace
from tta_service.core.strategy import needs_of, predicts_first

SEEN = Evidence(torch.eye(2)[:1], TextSpace.of(torch.eye(2), scale=1.0))


@dataclass(frozen=True)
class OneStep(Strategy[int]):
    """Counts its frames."""

    views: int = 1

    def needs(self):
        return Needs(views=self.views, memory=Scope.SESSION)

    def begin(self, text):
        return 0

    def adapt(self, seen, memory):
        return seen.logits()[0] + memory, memory + 1


class Unfolding(OneStep):
    """As earlier versions had it for strategies that answer before they learn."""

    def unfold(self, seen, memory):
        yield seen.logits()[0] + memory
        return memory + 1


class TwoSteps(Strategy[int]):
    def begin(self, text):
        return 0

    def predict(self, seen, memory):
        return seen.logits()[0] + memory, 1

    def update(self, seen, memory, carry):
        return memory + carry


@pytest.mark.parametrize("strategy, first", [(OneStep(), False), (Unfolding(), False), (TwoSteps(), True)])
def test_adapt_is_predict_then_update_whichever_is_defined(strategy: Strategy[int], first: bool):
    logits, memory = strategy.adapt(SEEN, 3)
    early, carry = strategy.predict(SEEN, 3)
    assert torch.equal(logits, early) and logits.tolist() == [4.0, 3.0]
    assert strategy.update(SEEN, 3, carry) == memory == 4
    assert predicts_first(strategy) == first


def test_a_strategy_that_defines_neither_says_so():
    class Neither(Strategy[None]):
        def begin(self, text):
            return None

    with pytest.raises(NotImplementedError, match="Neither defines neither adapt nor predict"):
        Neither().adapt(SEEN, None)


def test_needs_are_asked_once_of_equal_strategies():
    assert needs_of(OneStep(views=3)) is needs_of(OneStep(views=3))
    assert needs_of(OneStep(views=4)).views == 4
