"""One memory in a snapshot: copied in its turn, encoded as JSON and tensors, and decoded on another server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...core.catalogue import reducers, strategies
from ...core.errors import BadRequest
from ...core.labels import LabelSet, TextSpace
from ...core.memory import fill, map_tensors, tensors
from ...core.reducer import Reduction
from ...core.strategy import Strategy, is_teachable, takes_sums
from ...guard import GuardedMemory, add_guard, count_lessons
from ..concurrency import Executors, run
from ..sessions.group_entries import KEY, Change, name_of
from ..sessions.lesson_groups import LessonGroup
from ..sessions.memory import MemoryKey, MemorySlot
from ..sessions.registry import SessionRegistry
from ..sessions.session import Session
from ..sessions.turns import Turn
from ..text.cache import TextSpaceCache

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryImage:
    """One memory at the end of a frame."""

    key: MemoryKey
    labels: LabelSet
    memory: Any
    progress: tuple[int, int]  # of the session by then: its frames, and the id of the last one


async def copy_memories(
    session: Session, hold: Callable[[], Callable[[], None]], lanes: Executors
) -> list[MemoryImage]:
    """Copies of all memories, made in turns that are taken at once. `hold()` keeps the session open."""
    turns = [(queue.slot, queue.enqueue(hold())) for queue in session.memories.values()]
    try:
        copies = await asyncio.gather(*(_copy_memory(session, slot, turn, lanes) for slot, turn in turns))
    finally:
        for _, turn in turns:
            turn.leave()
    return [copy for copy in copies if copy is not None]


async def _copy_memory(session: Session, slot: MemorySlot, turn: Turn, lanes: Executors) -> MemoryImage | None:
    """A copy of the memory, made when the turn comes; None when it has not begun."""
    await turn.wait()
    if not slot.begun:
        turn.leave()
        return None
    copy, progress = await turn.adapt(lanes.adapt, _clone, lambda: (session.frames, session.last_frame_id))
    return MemoryImage(slot.key, slot.labels, copy, progress)


def encode_memories(session: Session, images: Sequence[MemoryImage]) -> dict[str, Any]:
    """All but the tensors, for JSON, and how far the session had come by then."""
    frames, last = min((copy.progress for copy in images), default=(session.frames, session.last_frame_id))
    return {"frames": frames, "last_frame_id": last, "memories": [encode(copy) for copy in images]}


def encode(image: MemoryImage) -> dict[str, Any]:
    """All but the tensors, for JSON."""
    return {
        "strategy": encode_strategy(image.key.strategy),
        "labels": encode_labels(image.labels),
        "reduction": encode_reduction(image.key.reduction),
    }


def encode_strategy(strategy: Strategy[Any]) -> list[Any]:
    """For JSON."""
    return [strategy.name, _parameters(strategy)]


def decode_strategy(described: Sequence[Any]) -> Strategy[Any]:
    """Raises `UnknownStrategy`, `BadParameters`."""
    return strategies.build(*described)


def encode_labels(labels: LabelSet) -> list[Any]:
    """For JSON."""
    return [labels.names, labels.templates, *([labels.sentences] if labels.sentences else ())]


def decode_labels(described: Sequence[Any]) -> LabelSet:
    """The server that made it allowed duplicates, if there are any. Raises `BadLabels`."""
    names, templates, *sentences = described
    return LabelSet(names, templates, allow_duplicates=True, sentences=sentences[0] if sentences else ())


def encode_reduction(reduction: Reduction | None) -> list[Any] | None:
    """For JSON."""
    return reduction and [reduction.reducer.name, _parameters(reduction.reducer), reduction.scope]


def decode_reduction(described: Sequence[Any] | None) -> Reduction | None:
    """Raises `UnknownReducer`, `BadParameters`."""
    if described is None:
        return None
    name, parameters, scope = described
    return Reduction(reducers.build(name, parameters), scope)


def decode_key(described: Mapping[str, Any]) -> tuple[MemoryKey, LabelSet]:
    """Raises `UnknownStrategy`, `UnknownReducer`, `BadParameters`, `BadLabels`."""
    strategy = decode_strategy(described["strategy"])
    labels, reduction = decode_labels(described["labels"]), decode_reduction(described["reduction"])
    return MemoryKey(strategy, labels.id, reduction), labels


async def decode(
    described: Mapping[str, Any],
    values: Mapping[str, Tensor],
    progress: tuple[int, int],
    texts: TextSpaceCache,
    lanes: Executors,
    taught: bool = False,
) -> MemoryImage:
    """The memory that `encode` described: a new one of its strategy, filled with the tensors in `values` by name.

    Its `memory` is None where another version of a strategy that learns made it and the session was `taught`: it begins
    anew from the lessons. Raises `BadRequest` when the tensors do not fit, and as `decode_key`.
    """
    key, labels = decode_key(described)
    text = await texts.get(labels)
    lane = lanes.tune if key.strategy.needs().gradient else lanes.adapt
    memory = await run(lane, partial(_fill, key.strategy, text, values, taught))
    return MemoryImage(key, labels, memory, progress)


def split(images: Sequence[MemoryImage]) -> tuple[list[MemoryImage], list[tuple[MemoryKey, LabelSet]]]:
    """Those that have a memory, and what the others were."""
    others = [(one.key, one.labels) for one in images if one.memory is None]
    return [one for one in images if one.memory is not None], others


def bring_up_to_date(
    registry: SessionRegistry, session: Session, group: LessonGroup, learnt: Sequence[str], sites: Sequence[str]
) -> None:
    """Memories that know entries of these names begin anew if one of them holds no longer; else they learn the rest.

    Those that learn from `sites` begin anew unless these are the group's, by the names of their entries.
    """
    taken_back = any(name < group.names.get(name[:KEY], "") for name in set(learnt).difference(sites))
    for queue in session.memories.values():
        if taken_back or (sites != group.site_names and takes_sums(queue.slot.key.strategy)):
            queue.slot.reset()
    known = set(learnt)
    missed = [lesson for lesson in group.lessons if name_of(lesson) not in known]
    numbers = frozenset(lesson.number for lesson in missed)
    for queue in session.memories.values():
        queue.slot.missed = numbers if queue.slot.begun else queue.slot.missed  # others learn all when they begin
    registry.on_lessons([session], [Change(None, lesson) for lesson in missed])


def _parameters(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _clone(memory: Any, deliver: Callable[[Any], None]) -> tuple[Any, Any]:
    return map_tensors(memory, Tensor.clone), memory


def _fill(strategy: Strategy[Any], text: TextSpace, values: Mapping[str, Tensor], taught: bool) -> Any:
    with torch.no_grad():
        begun = add_guard(strategy.begin(text), text)
        own = {name.removeprefix("memory.") for name in values if not name.startswith("guard.")}
        if taught and is_teachable(strategy) and tensors(begun.memory).keys() != own:
            log.warning("the memory of %s is of another version: it begins anew, from its lessons", strategy.name)
            return None
        try:
            if any(name.startswith("guard.") for name in values):
                return fill(begun, values)
            # Of an older version. It may have learnt lessons, so its answers stand as they did there.
            return GuardedMemory(fill(begun.memory, values), count_lessons(begun.guard, 1))
        except ValueError as error:
            raise BadRequest(f"the memory of {strategy.name} in this snapshot {error}", "state") from None
