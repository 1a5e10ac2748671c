"""Features in the order of a stream, played straight through a strategy: no service, nothing but the maths."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tta_service.core.evidence import Evidence
from tta_service.core.labels import TextSpace
from tta_service.core.strategy import Strategy
from tta_service.evaluate import metrics

from .finding import Gain

# (strategy, what is seen, its memory, the true label) to the answer and the memory to keep
Turn = Callable[[Any, Evidence, Any, int], tuple[Tensor, Any]]


@dataclass(frozen=True, eq=False)
class Stream:
    """`key` names all that the rows and the text depend on."""

    key: str
    rows: Tensor  # [n, v, d]
    labels: NDArray[np.int64]  # [n]
    text: TextSpace

    def __len__(self) -> int:
        return len(self.labels)

    def seen(self, place: int, views: int) -> Evidence:
        return Evidence(self.rows[place, :views], self.text)

    def plain(self) -> Tensor:
        """[n, c] zero-shot logits."""
        return self.text.scale * self.rows[:, 0] @ self.text.features.T


@dataclass(frozen=True)
class Played:
    """What was answered beside the zero-shot answer of the same frames, and how sure both were."""

    truth: NDArray[np.int64]  # [n]
    answer: NDArray[np.int64]
    sure: NDArray[np.float32]  # the largest probability
    plain: NDArray[np.int64]
    plain_sure: NDArray[np.float32]

    @property
    def gains(self) -> NDArray[np.float64]:
        """[n] points of top-1 from zero-shot: 100, 0 or −100."""
        return 100.0 * ((self.answer == self.truth).astype(float) - (self.plain == self.truth))

    @property
    def gain(self) -> Gain:
        return Gain.of(self.gains)

    @property
    def changed(self) -> float:
        """% of the answers."""
        return 100 * float((self.answer != self.plain).mean())

    def unchanged(self) -> Played:
        """Only the frames whose answer adapting did not change."""
        some = self.answer == self.plain
        return Played(**{field: getattr(self, field)[some] for field in self.__dataclass_fields__})

    @property
    def ece(self) -> float:
        return _ece(self.sure, self.answer == self.truth)

    @property
    def plain_ece(self) -> float:
        return _ece(self.plain_sure, self.plain == self.truth)


def _ece(sure: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    return 100 * metrics.calibration_error(sure[:, None], (~right).astype(int))


def published(strategy: Strategy[Any], seen: Evidence, memory: Any, label: int) -> tuple[Tensor, Any]:
    """As the service does it."""
    return strategy.adapt(seen, memory)


def play(stream: Stream, strategy: Strategy[Any], folder: Path | None = None, turn: Turn = published) -> Played:
    """One stream from a fresh memory; kept in the folder, if there is one, and read from there the next time."""
    name = hashlib.sha256(f"{stream.key} {strategy!r} {turn.__name__}".encode()).hexdigest()[:24]
    path = None if folder is None else folder / f"{strategy.name}-{name}.npz"
    if path is not None and path.exists():
        with np.load(path) as held:
            return Played(**{field: held[field] for field in Played.__dataclass_fields__})
    made = _play(stream, strategy, turn)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half.npz")
        np.savez(half, **{field: getattr(made, field) for field in Played.__dataclass_fields__})
        half.replace(path)
    return made


def _play(stream: Stream, strategy: Strategy[Any], turn: Turn) -> Played:
    memory, views = strategy.begin(stream.text), strategy.needs().views
    answer, sure = np.zeros(len(stream), np.int64), np.zeros(len(stream), np.float32)
    with torch.no_grad():  # who tunes a prompt turns gradients on
        for place, label in enumerate(stream.labels.tolist()):
            logits, memory = turn(strategy, stream.seen(place, views), memory, label)
            answer[place], sure[place] = int(logits.argmax()), float(logits.softmax(-1).max())
        plain = stream.plain()
        return Played(stream.labels, answer, sure, plain.argmax(-1).numpy(), plain.softmax(-1).max(-1).values.numpy())
