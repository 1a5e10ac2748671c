"""Checks of a strategy that learns from a person: its lessons, and the fit that follows them."""

from __future__ import annotations

from typing import Any

import torch

from ..core.memory import fill, map_tensors, tensors
from ..core.strategy import Strategy, apply_fit, is_teachable
from .scenes import answer, are_equal, begin, copy_tensors, frames, mode, stream, text_space

StrategyClass = type[Strategy[Any]]


def lessons_are_learnt(cls: StrategyClass) -> None:
    """`teach` keeps evidence and shapes; a strategy may leave it to the base class, which raises `Unsupported`."""
    strategy, text = cls(), text_space(5)
    memory = begin(strategy, text)
    seen = frames(strategy, text, 4)
    if not is_teachable(strategy):
        return
    before = [one.views.clone() for one in seen]
    fits = _teach(strategy, seen, memory)
    assert all(torch.equal(one.views, old) for one, old in zip(seen, before)), "teach changed the views in place"
    try:
        fill(begin(strategy, text), tensors(fits))
    except ValueError as error:
        raise AssertionError(f"shapes must follow from text space and fields alone: after lessons, {error}") from None
    logits, _ = answer(strategy, seen[0], fits)
    assert logits.shape == (5,) and not logits.isnan().any(), "an answer after lessons holds NaN"


def a_fit_is_pure(cls: StrategyClass) -> None:
    """`fit` changes nothing, gives fields of the memory, and no longer is due; no other method writes these fields."""
    strategy, text = cls(), text_space(5)
    if not is_teachable(strategy):
        return
    seen = frames(strategy, text, 6)
    memory = _teach(strategy, seen, begin(strategy, text))
    before = copy_tensors(memory)
    with mode(strategy):
        values = strategy.fit(memory, text)
        again = strategy.fit(memory, text)
    assert are_equal(before, copy_tensors(memory)), (
        "fit changed the memory: it runs on a copy while the session goes on"
    )
    assert are_equal(dict(values), dict(again)), "two fits of one memory differ"
    memory = map_tensors(apply_fit(memory, values), torch.Tensor.clone)
    assert not strategy.fit_is_due(memory), "fit_is_due stays true after a fit"
    held = {name: copy_tensors(memory)[name] for name in values}
    _, memory = stream(strategy, seen[:2], memory)
    with mode(strategy):
        memory = strategy.teach_none(seen[3], strategy.teach(seen[2], 1, memory))
    now = {name: copy_tensors(memory)[name] for name in values}
    assert are_equal(held, now), "adapt or teach wrote a field that fit makes: a fit that runs meanwhile would be lost"


def lessons_survive_a_snapshot(cls: StrategyClass) -> None:
    """A memory rebuilt from copies after lessons, some of them not fitted yet, answers the same, bit for bit."""
    strategy, text = cls(), text_space(5)
    if not is_teachable(strategy):
        return
    seen = frames(strategy, text, 8)
    memory = _teach(strategy, seen[:4], begin(strategy, text))
    with mode(strategy):
        memory = strategy.teach(seen[4], 2, memory)
    restored = fill(begin(strategy, text), copy_tensors(memory))
    both = []
    for one in (memory, restored):
        with mode(strategy):
            one = apply_fit(one, strategy.fit(one, text))
        both.append(stream(strategy, seen[5:], map_tensors(one, torch.Tensor.clone))[0])
    assert are_equal(dict(enumerate(both[0])), dict(enumerate(both[1]))), (
        "a taught memory that was saved and restored answers differently"
    )


def _teach(strategy: Strategy[Any], seen: list[Any], memory: Any) -> Any:
    """See the images, then learn each as class 0, 1, 2 and so on, and the last as none, then fit."""
    text = seen[0].text
    _, memory = stream(strategy, seen, memory)
    with mode(strategy):
        for i, one in enumerate(seen):
            memory = strategy.teach(one, i % len(text.features), memory)
        memory = strategy.teach_none(seen[-1], memory)
        return map_tensors(apply_fit(memory, strategy.fit(memory, text)), torch.Tensor.clone)
