"""What lessons say together, as one site tells another: no picture can be made of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .labels import LabelSet
from .reducer import Reduction


@dataclass(frozen=True, slots=True, eq=False)
class LessonSums:
    """Of the lessons of one label set and reduction. Those of two sites add up."""

    labels: LabelSet
    reduction: Reduction | None  # None: of features that clients sent
    counts: Tensor  # [c] int64
    sums: Tensor  # [c, d] float32, of the unit features of the plain views
    scatter: Tensor  # [d, d] float32, the sum of their outer products
    epsilon: float = 0.0  # of differential privacy, for one lesson more or less; 0: no noise was added
    delta: float = 0.0
    other_model: str = ""  # fingerprint of the model that made the features, if it is not this server's

    @property
    def nbytes(self) -> int:
        """Of the tensors."""
        return self.counts.nbytes + self.sums.nbytes + self.scatter.nbytes

    def concerns(self, labels: str, reduction: Reduction | None) -> bool:
        """Whether it is of that label set id and reduction, and of this server's model."""
        return not self.other_model and (self.labels.id, self.reduction) == (labels, reduction)


@dataclass(frozen=True, slots=True)
class Noise:
    """What is done to sums before they are given, so that they say little about any one lesson."""

    epsilon: float
    delta: float
    clip: float = 1.0  # the norm to which features are shortened; the sums are stretched again after the noise
