"""Checks of a strategy's memory: its scope, its shapes, and that it holds everything that later answers depend on."""

from __future__ import annotations

from typing import Any

import torch

from ..core.memory import fill, tensors
from ..core.strategy import Scope, Strategy
from .scenes import answer, are_equal, begin, copy_tensors, frames, mode, stream, text_space

StrategyClass = type[Strategy[Any]]


def memory_has_its_scope(cls: StrategyClass) -> None:
    """`begin` gives None for `Scope.REQUEST` alone; a memory of `Scope.LABELS` comes back unchanged."""
    strategy, text, scope = cls(), text_space(5), cls().needs().memory
    memory = begin(strategy, text)
    assert (memory is None) == (scope is Scope.REQUEST), (
        f"begin() returned {type(memory).__name__} but needs().memory is {scope}: REQUEST, and only it, has None"
    )
    before = copy_tensors(memory)
    _, after = answer(strategy, frames(strategy, text, 2)[0], memory)
    if scope is Scope.LABELS:
        assert after is memory and are_equal(before, tensors(memory)), (
            "a memory of scope LABELS is shared: adapt must return the very one it was given, unchanged"
        )
    if scope is Scope.REQUEST:
        assert after is None, "adapt returned a memory though needs().memory is REQUEST"


def memory_keeps_its_shapes(cls: StrategyClass) -> None:
    """After some frames it still fits the shapes of `begin`, and holds no autograd graph."""
    strategy = cls()
    for classes in (1, 2, 5):
        text = text_space(classes)
        _, memory = stream(strategy, frames(strategy, text, 4), begin(strategy, text))
        try:
            fill(begin(strategy, text), tensors(memory))
        except ValueError as error:
            raise AssertionError(
                f"shapes must follow from text space and fields alone: after frames, {error}"
            ) from None
        held = [name for name, tensor in tensors(memory).items() if tensor.requires_grad]
        assert not held, f"{', '.join(held)} of the memory still hang on autograd's graph: detach them"


def same_in_same_out(cls: StrategyClass) -> None:
    """A stream gives the same answers when another stream is interleaved and the global seed differs."""
    strategy, text = cls(), text_space(5)
    one, other = frames(strategy, text, 5), frames(strategy, text, 5, seed=50)
    alone, _ = stream(strategy, one, begin(strategy, text))
    left, right, again = begin(strategy, text), begin(strategy, text), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234567)
        for a, b in zip(one, other, strict=True):
            logits, left = answer(strategy, a, left)
            _, right = answer(strategy, b, right)
            again.append(logits)
    assert are_equal(dict(enumerate(alone)), dict(enumerate(again))), (
        "two streams disturb each other, or adapt draws random numbers: all that it remembers belongs into its memory"
    )


def snapshot_restores_the_next_answers(cls: StrategyClass) -> None:
    """A memory rebuilt from copies of its tensors gives the same answers, bit for bit."""
    strategy, text = cls(), text_space(5)
    seen = frames(strategy, text, 9)
    _, memory = stream(strategy, seen[:5], begin(strategy, text))
    restored = fill(begin(strategy, text), copy_tensors(memory))
    first, _ = stream(strategy, seen[5:], memory)
    second, _ = stream(strategy, seen[5:], restored)
    assert are_equal(dict(enumerate(first)), dict(enumerate(second))), (
        "a memory that was saved and restored answers differently: something that matters is not in its tensors"
    )


def adapt_is_predict_then_update(cls: StrategyClass) -> None:
    """`predict`, then `update` give what `adapt` gives, bit for bit."""
    strategy, text = cls(), text_space(5)
    one, two = begin(strategy, text), begin(strategy, text)
    for seen in frames(strategy, text, 5):
        logits, one = answer(strategy, seen, one)
        with mode(strategy):
            early, carry = strategy.predict(seen, two)
            two = strategy.update(seen, two, carry)
        assert torch.equal(logits, early), "predict gives another answer than adapt"
        assert are_equal(copy_tensors(one), copy_tensors(two)), "update returns another memory than adapt"
