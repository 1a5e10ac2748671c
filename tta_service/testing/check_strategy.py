"""Conformance checks of a strategy, built-in or plug-in. The message of each failure says what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.catalogue import strategies
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.memory import tensors
from ..core.strategy import Needs, Scope, Strategy
from .check_entry import check_bounds, check_registered, check_round_trip
from .check_lessons import a_fit_is_pure, lessons_are_learnt, lessons_survive_a_snapshot
from .check_memory import (
    adapt_is_predict_then_update,
    memory_has_its_scope,
    memory_keeps_its_shapes,
    same_in_same_out,
    snapshot_restores_the_next_answers,
)
from .scenes import answer, are_equal, begin, copy_tensors, frames, mode, scene, stream, text_space

StrategyClass = type[Strategy[Any]]


def check_strategy(strategy: StrategyClass | str) -> None:
    """Run every check over a registered strategy, by class or name. Raises AssertionError with a sentence."""
    cls = strategies.get(strategy) if isinstance(strategy, str) else strategy
    for check in STRATEGY_CHECKS:
        check(cls)


def is_in_the_catalogue(cls: StrategyClass) -> None:
    """It is registered and its module describes it."""
    check_registered(cls, strategies)


def numbers_are_bounded(cls: StrategyClass) -> None:
    """Every number has finite bounds that hold its default."""
    check_bounds(cls)


def parameters_survive_the_wire(cls: StrategyClass) -> None:
    """Parameters sent as doubles come back equal; bad ones raise `BadParameters`."""
    check_round_trip(cls, strategies)


def needs_make_sense(cls: StrategyClass) -> None:
    """`needs` gives a `Needs` that the engine can meet."""
    needs = cls().needs()
    assert isinstance(needs, Needs), f"needs() returned {needs!r}, not Needs(…)"
    assert 1 <= needs.fewest <= needs.views, f"fewest {needs.fewest} must lie in 1…views ({needs.views})"
    assert 0 < needs.confident <= 1, f"confident {needs.confident} is no fraction of views"
    assert list(needs.rounds) == sorted(set(needs.rounds)) and all(
        needs.fewest <= count < needs.views for count in needs.rounds
    ), f"rounds {needs.rounds} must rise from fewest ({needs.fewest}) on and end below views ({needs.views})"
    assert needs.augment in ("crop", "augmix", "named"), f"augment {needs.augment!r} is none of crop, augmix, named"


def gradient_is_declared(cls: StrategyClass) -> None:
    """Without `gradient` it runs in inference mode and, unless its memory is of `Scope.LABELS`, on raw tensors."""
    strategy, needs = cls(), cls().needs()
    text = text_space(5)
    if not needs.gradient and needs.memory is not Scope.LABELS:
        text = TextSpace.of(text.features, text.scale)
    try:
        stream(strategy, frames(strategy, text, 3), begin(strategy, text))
    except Exception as error:
        raise AssertionError(
            f"it raised {type(error).__name__}: {error}. With autograd or prompts in adapt, declare"
            " Needs(gradient=True); begin runs without autograd and switches it on by `with torch.enable_grad()`"
        ) from error


def evidence_stays_as_it_was(cls: StrategyClass) -> None:
    """`adapt` and `explain` leave views and text features bit-identical."""
    strategy, text = cls(), text_space(5)
    memory = begin(strategy, text)
    for seen in frames(strategy, text, 4):
        before = (seen.views.clone(), text.features.clone())
        _, memory = answer(strategy, seen, memory)
        strategy.explain(seen, memory)
        assert torch.equal(before[0], seen.views), "adapt changed the views in place: work on a copy"
        assert torch.equal(before[1], text.features), (
            "the text features changed: begin must clone what adapt overwrites"
        )


def answers_are_logits(cls: StrategyClass) -> None:
    """Logits are [c] without NaN, for one, two or more classes, identical views, and any number of rows."""
    strategy, needs = cls(), cls().needs()
    for classes in (1, 2, 5, 40):
        text, memory = text_space(classes), begin(strategy, text_space(classes))
        counts = sorted({needs.fewest, needs.fewest + 1, min(needs.views, 7), min(needs.views, 64)})
        for rows in (n for n in counts if needs.fewest <= n <= needs.views):
            twins = Evidence(scene(text, 1, rows).views.expand(rows, -1).contiguous(), text)
            for what, seen in (("different", scene(text, rows, rows)), ("identical", twins)):
                logits, memory = answer(strategy, seen, memory)
                _assert_logits(logits, seen, memory, f"{classes} classes, {rows} {what} views")


def explanations_are_pure(cls: StrategyClass) -> None:
    """`explain` leaves the memory bit-identical; its reserved keys have their shapes and ranges."""
    strategy, text = cls(), text_space(5)
    memory = begin(strategy, text)
    for seen in frames(strategy, text, 3):
        _, memory = answer(strategy, seen, memory)
        before = copy_tensors(memory)
        with mode(strategy):
            explanation = strategy.explain(seen, memory)
        assert are_equal(before, tensors(memory)), "explain changed the memory"
        _assert_explanation(explanation, len(seen.views))


STRATEGY_CHECKS: tuple[Callable[[StrategyClass], None], ...] = (
    is_in_the_catalogue,
    numbers_are_bounded,
    parameters_survive_the_wire,
    needs_make_sense,
    memory_has_its_scope,
    memory_keeps_its_shapes,
    gradient_is_declared,
    evidence_stays_as_it_was,
    answers_are_logits,
    same_in_same_out,
    snapshot_restores_the_next_answers,
    adapt_is_predict_then_update,
    explanations_are_pure,
    lessons_are_learnt,
    a_fit_is_pure,
    lessons_survive_a_snapshot,
)


def _assert_explanation(explanation: Mapping[str, Tensor | float], rows: int) -> None:
    for key, value in explanation.items():
        numbers = value.numel() if isinstance(value, Tensor) else 1
        assert isinstance(value, (int, float, Tensor)), f"explain()[{key!r}] is a {type(value).__name__}"
        assert numbers == 1 or key in ("kept", "weight"), f"explain()[{key!r}] holds {numbers} numbers, not one"
    kept = torch.as_tensor(explanation.get("kept", [])).tolist()
    assert len(set(kept)) == len(kept) and set(kept) <= set(range(rows)), f"kept {kept} of {rows} views"
    weight = torch.as_tensor(explanation.get("weight", [1 / rows] * rows))
    assert weight.shape == (rows,) and float(weight.min()) >= 0, "weight is [v], none negative"
    assert abs(float(weight.sum()) - 1) < 1e-3, f"the weights sum to {float(weight.sum())}, not 1"
    assert 0 <= float(explanation.get("fill", 0.0)) <= 1, f"fill {explanation['fill']} is no fraction"


def _assert_logits(logits: Tensor, seen: Evidence, memory: Any, where: str) -> None:
    classes = len(seen.text.features)
    assert logits.shape == (classes,), f"{where}: logits are {tuple(logits.shape)}, not [{classes}]"
    assert logits.is_floating_point() and not logits.requires_grad, f"{where}: logits must be detached floats"
    assert not logits.isnan().any() and not logits.isposinf().any(), f"{where}: logits hold NaN or +inf: {logits}"
    assert logits.isfinite().any(), f"{where}: every logit is −inf"
    others = [seen.views, seen.text.features, *tensors(memory).values()]
    shared = logits.untyped_storage().data_ptr() in [t.untyped_storage().data_ptr() for t in others]
    assert not shared, f"{where}: logits share storage with memory or evidence, which the next frame overwrites"
