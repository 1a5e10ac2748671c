"""A guard for memories without lessons: their answers stand only where there is no sign that they do harm.

Two signs need no labels (both are ours, measured by `benchmarks/accuracy.py guard`). The memory has collapsed: its
recent labels fall on fewer classes than those of plain CLIP on the same frames. Labels are counted rather than
probabilities averaged, because the scores of strategies are on scales of their own. Or the memory contradicts a plain
answer that is far ahead of the memory's: most such changes are wrong, unless plain CLIP itself has fallen into few
classes, from which the memory's labels spread again. Where there is a sign, plain CLIP answers. The memory goes on
learning, so that its answers come back as soon as the sign is gone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .core.evidence import Evidence
from .core.labels import TextSpace
from .maths import confident_rows, mean_log_probability

WINDOW = 256  # frames after which a count has decayed to 1/e
FEWEST = 100.0  # decayed frames that are needed to compare the spread of labels
NARROWER = 0.02  # nats by which the memory's labels may be less spread than plain CLIP's
WIDER = 0.05  # nats by which they must be more spread to overrule plain answers that are far ahead
AHEAD = 0.2  # probability by which a plain answer is far ahead of the memory's


class GuardState(NamedTuple):
    """Recent labels as exponentially decaying counts, and how many lessons the memory has learnt."""

    plain: Tensor  # [c]
    adapted: Tensor  # [c]
    lessons: Tensor  # ()


class GuardedMemory(NamedTuple):
    """A strategy's memory and the guard beside it."""

    memory: object
    guard: GuardState


def add_guard(memory: object, text: TextSpace) -> GuardedMemory:
    """A memory that has just begun, and a guard that has seen nothing yet."""
    counts = torch.zeros(len(text.features))
    return GuardedMemory(memory, GuardState(counts, counts.clone(), torch.zeros((), dtype=torch.int64)))


def plain_answer(seen: Evidence, confident: float, logits: Tensor | None = None) -> Tensor:
    """[c] logits without the memory: the mean probability of the views that the strategy trusts; zero-shot of one.

    `logits` [v, c] are those of the views if the caller has computed them.
    """
    logits = seen.logits() if logits is None else logits
    if len(logits) == 1:
        return logits[0]
    return mean_log_probability(logits[confident_rows(seen, confident, logits)])


def is_doubtful(guard: GuardState, plain: Tensor, adapted: Tensor) -> bool:
    """Whether a sign speaks against the memory's answer, given the logits [c] of both."""
    label, other = int(plain.argmax()), int(adapted.argmax())
    if label == other or guard.lessons:
        return False
    wider = _spread(guard.adapted) - _spread(guard.plain) if guard.plain.sum() >= FEWEST else 0.0
    probability = plain.softmax(-1)
    ahead = float(probability[label] - probability[other])
    return wider < -NARROWER or (ahead > AHEAD and wider <= WIDER)


def count_answer(guard: GuardState, plain: Tensor, adapted: Tensor) -> GuardState:
    """The guard after a frame that plain CLIP and the memory answered with these logits [c]."""
    return guard._replace(plain=_count(guard.plain, plain), adapted=_count(guard.adapted, adapted))


def count_lessons(guard: GuardState, lessons: int) -> GuardState:
    """The guard after lessons: a memory that a person has taught is not guarded, since its changes are meant."""
    return guard._replace(lessons=guard.lessons + lessons)


def _count(counts: Tensor, logits: Tensor) -> Tensor:
    decayed = counts * (1 - 1 / WINDOW)
    decayed.numpy()[int(logits.argmax())] += 1  # a tensor would take ten times as long
    return decayed


def _spread(counts: Tensor) -> float:
    """Entropy of the labels, nats."""
    share = counts / counts.sum()
    return float(-torch.xlogy(share, share).sum())
