"""Which frames are worth a person's word: unsure answers to pictures unlike those that were asked about or taught.

Uncertainty is one less the margin between the two best probabilities (Scheffer et al., 2001, Active Hidden Markov
Models for Information Extraction); coverage of feature space is the distance to the nearest picture that is known, by
which greedy k-center chooses (Sener and Savarese, ICLR 2018, arXiv:1708.00489). A frame is worth their product. In a
stream a variable threshold spends a budget of labels, and a share of them goes to frames that chance draws (Žliobaitė
et al., 2014, Active Learning With Drifting Streaming Data).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

SAME = 0.98  # cosine above which two pictures show the same moment, so that one word is enough
STEP = 0.5  # of the threshold's logarithm for a frame that passes
LEAST = 0.02  # threshold


def worth(logits: Tensor, feature: Tensor, known: Tensor) -> float:
    """What a word about a frame is worth, 0 to 2: logits [c], its feature [d] and the known ones, unit [n, d]."""
    distance = distance_to(feature, known)
    return margin_worth(logits) * distance if distance >= 1 - SAME else 0.0


def margin_worth(logits: Tensor) -> float:
    """One less the margin between the two best probabilities: 0 is certain. Without a second label nothing is."""
    best = logits.double().softmax(-1).topk(min(2, len(logits))).values.tolist()
    return 1 - (best[0] - best[-1]) if len(best) > 1 else 0.0


def distance_to(feature: Tensor, known: Tensor) -> float:
    """One less the cosine to the nearest of the known features, unit [n, d]; 1 if there is none."""
    return 1 - float((known @ normalize(feature.float(), dim=-1)).max()) if len(known) else 1.0


def tune_threshold(threshold: float, passed: bool, share: float) -> float:
    """The threshold after a frame whose worth has `passed` it or not, so that about that share of frames does."""
    return max(LEAST, threshold * math.exp(STEP * (passed - share)))


def stack_features(features: Sequence[Tensor], dimension: int) -> Tensor:
    """Unit [n, d] of the known pictures."""
    return normalize(torch.stack(list(features)).float(), dim=-1) if features else torch.empty(0, dimension)
