"""One memory of a session as a snapshot holds it: copied in its turn, described, and filled again elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...core.catalogue import reducers, strategies
from ...core.errors import BadRequest
from ...core.labels import LabelSet, TextSpace
from ...core.memory import filled, moved
from ...core.reducer import Reduction
from ...core.strategy import Strategy
from ..concurrency.executors import Lanes, run
from ..sessions.memory import Kept, Key
from ..sessions.session import Session
from ..sessions.turns import Turn
from ..text.cache import TextSpaces


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """One memory at the end of a frame."""

    key: Key
    labels: LabelSet
    memory: Any
    seen: tuple[int, int]  # what the session had seen by then: frames, id of the last one


async def copied(session: Session, kept: Kept, turn: Turn, lanes: Lanes) -> Copy | None:
    """The memory when its turn comes; None when it has not begun."""
    await turn.comes()
    if not kept.begun:
        turn.leave()
        return None
    copy, seen = await turn.adapt(lanes.adapt, _cloned, lambda: (session.frames, session.last_frame_id))
    return Copy(kept.key, kept.labels, copy, seen)


def described(copy: Copy) -> dict[str, Any]:
    """All but the tensors, as JSON can say it."""
    strategy, reduction = copy.key.strategy, copy.key.reduction
    return {
        "strategy": [strategy.name, _parameters(strategy)],
        "labels": [copy.labels.names, copy.labels.templates],
        "reduction": reduction and [reduction.reducer.name, _parameters(reduction.reducer), reduction.scope],
    }


async def rebuilt(
    told: Mapping[str, Any], values: Mapping[str, Tensor], seen: tuple[int, int], texts: TextSpaces, lanes: Lanes
) -> Copy:
    """The memory that was described as `told`, its structure begun anew and filled with `values` by name.

    Raises `BadRequest` when they do not fit, and what the catalogues raise of strategies that they do not know.
    """
    strategy = strategies.build(*told["strategy"])
    labels = LabelSet(*map(tuple, told["labels"]), allow_duplicates=True)  # whoever made the memory was allowed them
    reduction = None
    if told["reduction"] is not None:
        name, parameters, scope = told["reduction"]
        reduction = Reduction(reducers.build(name, parameters), scope)
    text = await texts.get(labels)
    lane = lanes.tune if strategy.needs().gradient else lanes.adapt
    memory = await run(lane, partial(_filled, strategy, text, values))
    return Copy(Key(strategy, labels.id, reduction), labels, memory, seen)


def _parameters(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _cloned(memory: Any) -> Generator[Any, None, Any]:
    yield moved(memory, Tensor.clone)
    return memory


def _filled(strategy: Strategy[Any], text: TextSpace, values: Mapping[str, Tensor]) -> Any:
    with torch.no_grad():
        try:
            return filled(strategy.begin(text), values)
        except ValueError as error:
            raise BadRequest(f"the memory of {strategy.name} in this snapshot {error}", "state") from None
