"""Runs a strategy in the adapt or tune lane: feature rows and memory in, answer and new memory out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...confidence.decision import best_cosine
from ...core.errors import BadRequest, ModelFault, TTAError
from ...core.evidence import Evidence, Views
from ...core.labels import TextSpace
from ...core.memory import map_tensors
from ...core.request import Explanation
from ...core.strategy import Strategy, needs_of, predicts_first
from ...guard import GuardedMemory, GuardState, count_answer, is_doubtful, plain_answer
from ...maths import confident_rows
from ...strategies.zero_shot import ZeroShot
from .explaining import explain_answer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A strategy's result for one image."""

    logits: Tensor  # [c]
    zero_shot: Tensor  # [c]
    explanation: Explanation | None
    feature: Tensor  # [d] of the plain view
    cosine: float  # between the plain view and the nearest text
    example: Tensor | None  # [1 or 2, d] float16, if the picture is remembered
    seconds: float  # from the start of the strategy to this answer
    guarded: bool = False  # the guard has replaced the memory's answer
    rejected: bool = False  # the memory has not learnt from the image


@dataclass(frozen=True, slots=True, eq=False)
class EncodedViews:
    """Feature rows from the tower (in several pieces) or from the client, and the views they belong to."""

    pieces: tuple[Tensor, ...]  # each [*, d], row 0 of the first is the plain view
    count: int  # rows to use
    views: Views | None = None
    kept: Tensor | None = None  # [k] confident rows, chosen by a first look with reduction
    second_look: tuple[Tensor, tuple[Tensor, ...]] | None = None  # rows [m], their exact features [m, d] in pieces
    settled: bool = False  # the strategy has said that these views are enough

    def suffice(self, views: int) -> bool:
        """Whether they are so many, or the strategy needs no more."""
        return self.settled or self.count >= views

    def evidence(self, text: TextSpace) -> Evidence:
        """The strategy's input. Raises `BadRequest` if the rows do not have this model's dimension."""
        rows = self.pieces[0] if len(self.pieces) == 1 else torch.cat(self.pieces)
        if self.second_look is not None:
            at, features = self.second_look
            rows = rows.index_copy(0, at, torch.cat(features))
        if rows.shape[1] != text.features.shape[1]:
            message = f"features have {rows.shape[1]} dimensions, this model's have {text.features.shape[1]}"
            raise BadRequest(message, "image.features.dimension")
        return Evidence(rows[: self.count], text, self.kept)


def run_strategy(
    strategy: Strategy[Any],
    encoded: EncodedViews,
    text: TextSpace,
    explain: bool,
    remember: bool,
    guard: bool,
    memory: Any,
    deliver: Callable[[Answer], None] | None = None,
) -> tuple[Answer, Any]:
    """The answer, and the memory after the image.

    A memory of a session has a guard beside it, which may replace the answer, with `guard` and unless the strategy is
    to be as published.
    `deliver` receives the answer of a strategy that predicts first before it learns, unless it is to be explained: an
    explanation reads the new memory. Raises `ModelFault` for a strategy that fails or gives no finite logits [c].
    """
    began, needs = time.monotonic(), needs_of(strategy)
    evidence = encoded.evidence(text)
    memory, state = memory if isinstance(memory, GuardedMemory) else (memory, None)
    with faults_of(strategy):
        with torch.set_grad_enabled(needs.gradient):
            logits, carry = strategy.predict(evidence, memory)
        logits = logits.detach().float().cpu()
        if logits.shape != (len(text.features),) or not math.isfinite(logits.max()):
            raise ModelFault(f"{strategy.name} gave no finite answer for this image")
        answer, state = _make_answer(strategy, evidence, logits, remember, guard, state, began)
        if deliver and not explain and predicts_first(strategy):
            deliver(answer)
        with torch.set_grad_enabled(needs.gradient):
            memory = strategy.update(evidence, memory, carry) if predicts_first(strategy) else carry
    if explain:
        views = encoded.views and encoded.views.first(encoded.count)
        with torch.no_grad():
            answer = replace(answer, explanation=explain_answer(strategy, evidence, views, memory))
    return answer, memory if state is None else GuardedMemory(memory, state)


def run_if_known(
    least: float,
    encoded: EncodedViews,
    text: TextSpace,
    work: Callable[..., tuple[Answer, Any]],
    memory: Any,
    deliver: Callable[[Answer], None] | None = None,
) -> tuple[Answer, Any]:
    """What `work(memory, deliver)` gives; the memory as it was, if the image's best cosine is below `least`."""
    if least == -math.inf or _best_cosine(encoded, text) >= least:
        return work(memory, deliver)
    answer, _ = work(map_tensors(memory, Tensor.clone))  # a strategy may work in place
    return replace(answer, rejected=True), memory


@torch.no_grad()
def _best_cosine(encoded: EncodedViews, text: TextSpace) -> float:
    return best_cosine(encoded.evidence(text).logits()[0], text)


@torch.no_grad()
def _make_answer(
    strategy: Strategy[Any],
    evidence: Evidence,
    logits: Tensor,
    remember: bool,
    guard: bool,
    state: GuardState | None,
    began: float,
) -> tuple[Answer, GuardState | None]:
    """The answer with the strategy's logits [c], and the guard after the image."""
    of_views = None if type(strategy) is ZeroShot else evidence.logits()  # [v, c]
    zero_shot, answered = logits if of_views is None else of_views[0].cpu(), logits
    example = make_example(evidence, needs_of(strategy).confident, of_views) if remember else None
    if state is not None:
        answered, state = _guard_answer(strategy, evidence, of_views, logits, guard, state)
    feature, cosine, seconds = evidence.views[0].cpu(), best_cosine(zero_shot, evidence.text), time.monotonic() - began
    return Answer(answered, zero_shot, None, feature, cosine, example, seconds, answered is not logits), state


def _guard_answer(
    strategy: Strategy[Any], evidence: Evidence, of_views: Tensor | None, logits: Tensor, guard: bool, state: GuardState
) -> tuple[Tensor, GuardState]:
    """The logits [c], or those without memory in their place, and the guard after the image."""
    plain = plain_answer(evidence, needs_of(strategy).confident, of_views).float().cpu()
    replaced = guard and not getattr(strategy, "compat", False) and is_doubtful(state, plain, logits)
    return plain if replaced else logits, count_answer(state, plain, logits)


@contextmanager
def faults_of(strategy: Strategy[Any]) -> Generator[None]:
    """Whatever is raised in the block and is no `TTAError` becomes a `ModelFault`, and is logged."""
    try:
        yield
    except TTAError:
        raise
    except Exception as error:
        log.exception("%s raised", strategy.name)
        raise ModelFault(f"{strategy.name} failed on this image") from error


def make_example(evidence: Evidence, fraction: float, of_views: Tensor | None = None) -> Tensor:
    """[1 or 2, d] float16 on the CPU: the plain view, and of several the unit mean of the confident ones.

    For a strategy that uses all its views they are the surest tenth.
    """
    rows = evidence.views[:1]
    if len(evidence.views) > 1:
        confident = evidence.views[confident_rows(evidence, fraction if fraction < 1 else 0.1, of_views)]
        rows = torch.cat([rows, normalize(confident.mean(0), dim=-1)[None]])
    return rows.half().cpu()


def choose_confident(
    encoded: EncodedViews, text: TextSpace, fraction: float, pixels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Chooses the views of a second look: confident rows [k], these and row 0 [m], the pixels [m, 3, s, s] of those."""
    with torch.no_grad():
        kept = confident_rows(encoded.evidence(text), fraction)
        wanted = torch.zeros(len(pixels), dtype=torch.bool)
        wanted[0] = wanted[kept.cpu()] = True
        rows = wanted.nonzero().flatten()
        return kept, rows, pixels[rows]


def is_settled(strategy: Strategy[Any], encoded: EncodedViews, text: TextSpace, views: int) -> bool:
    """Whether the strategy needs no more rows than these, of `views`. Raises `ModelFault` if it fails."""
    with faults_of(strategy), torch.no_grad():
        return strategy.is_settled(encoded.evidence(text), views)
