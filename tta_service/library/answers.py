"""The answer to one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.request import Explanation, Report, Scores


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one class."""

    label: str
    score: float  # a probability: softmax over all classes
    index: int  # into the names


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What a picture shows. `report` is all that the engine says of it."""

    report: Report

    def __repr__(self) -> str:
        return f"Answer({self.label!r}, score={self.score:.3f}, confidence={self.confidence:.3f})"

    @cached_property
    def top(self) -> tuple[Score, ...]:
        """All classes, the best one first."""
        return self._ranked(self.report.logits, self.report.scores)

    @cached_property
    def zero_shot(self) -> tuple[Score, ...]:
        """The same without adaptation."""
        return self._ranked(self.report.zero_shot, self.report.zero_shot_scores)

    @property
    def scores(self) -> NDArray[np.float64]:
        """[c] in the order of the names; they sum to 1."""
        return self.report.scores.values

    @property
    def label(self) -> str:
        """The best class's name."""
        return self.top[0].label

    @property
    def index(self) -> int:
        """The best class's place among the names."""
        return self.top[0].index

    @property
    def score(self) -> float:
        """The best class's score."""
        return self.top[0].score

    @property
    def flipped(self) -> bool:
        """Whether adaptation changed the best class."""
        return self.index != self.zero_shot[0].index

    @property
    def confidence(self) -> float:
        """The probability that the label is right, made as the option `calibrate` says; by default the score."""
        return self.report.trust.confidence if self.report.trust else self.score

    @property
    def decision(self) -> str:
        """`answer`, `defer` or `none_of_these`."""
        return self.report.trust.decision if self.report.trust else "answer"

    @property
    def prediction_set(self) -> tuple[str, ...]:
        """With the option `coverage`, the labels of which one is right so often; the most probable first."""
        return self._names(self.report.trust.prediction_set if self.report.trust else ())

    @property
    def stable_label(self) -> str | None:
        """With the option `smooth`, the label that the session's frames agree on; None: on none."""
        stable = self.report.trust.stable if self.report.trust else None
        return None if stable is None else self.report.request.labels.names[stable]

    @property
    def views(self) -> int:
        """Views of the picture that were encoded."""
        return self.report.views

    @property
    def seconds(self) -> Mapping[str, float]:
        """By stage, and `total`."""
        return self.report.seconds

    @property
    def explanation(self) -> Explanation | None:
        """With the option `explain`, how the answer came about."""
        return self.report.explanation if self.report.request.explain else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the answer less trustworthy than its score says."""
        return tuple(one.message for one in self.report.cautions)

    @property
    def example_id(self) -> str:
        """Of the picture in its session, for a lesson about it."""
        return self.report.example_id

    def _ranked(self, logits: Tensor, scores: Scores) -> tuple[Score, ...]:
        order: list[int] = np.argsort(-logits.double().numpy(), kind="stable").tolist()  # equal ones in their order
        values = scores.values[order].tolist()
        return tuple(map(Score, self._names(order), values, order))

    def _names(self, classes: tuple[int, ...] | list[int]) -> tuple[str, ...]:
        names = self.report.request.labels.names
        return tuple(names[index] for index in classes)
