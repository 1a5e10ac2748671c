"""Maths that several strategies share: entropies, the choice of views, means, inverses, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from .core.evidence import Evidence


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of softmax(logits) over the last axis; ≥ 0, and 0·ln 0 = 0, so logits may be −inf."""
    log_p = logits.log_softmax(-1)
    finite = log_p.clamp_min(torch.finfo(log_p.dtype).min)
    return (-(log_p.exp() * finite).sum(-1)).clamp_min(0.0) + 0.0  # rounding gives −1e-9 or −0 for a one-hot row


def confident_count(views: int, fraction: float) -> int:
    """How many of `views` rows a fraction keeps: truncated, but at least one (the published code may keep none)."""
    return max(1, int(views * fraction))


def confident_rows(seen: Evidence, fraction: float, logits: Tensor | None = None) -> Tensor:
    """Indices [k] of the `fraction` of views with the lowest zero-shot entropy, surest first; ties keep their order.

    Returns `seen.kept` when the rows were chosen before a second encoding, so that strategies need no case for it.
    `logits` [v, c] are the zero-shot logits if the caller has computed them.
    """
    if seen.kept is not None:
        return seen.kept
    if len(seen.views) == 1:
        return torch.zeros(1, dtype=torch.int64, device=seen.views.device)
    surest_first = entropy(seen.logits() if logits is None else logits).argsort(stable=True)
    return surest_first[: confident_count(len(seen.views), fraction)]


class Summary(NamedTuple):
    """The mean of an image's confident views, which the cache methods work on (TDA, arXiv:2403.18293)."""

    rows: Tensor  # [k] the confident views
    feature: Tensor  # [d] their mean, not normalised again
    logits: Tensor  # [c] their mean
    log_p: Tensor  # [c] log of their mean probability
    entropy: Tensor  # () of the mean probability, nats
    label: int  # pseudo-label: the largest mean logit


def summarise(seen: Evidence, fraction: float) -> Summary:
    """The mean over the `fraction` of views with the lowest entropy; with one view, that view."""
    logits = seen.logits()
    rows = confident_rows(seen, fraction, logits)
    views, logits = (seen.views, logits) if len(logits) == 1 else (seen.views[rows], logits[rows])
    mean, log_p = logits.mean(0), mean_log_probability(logits)
    return Summary(rows, views.mean(0), mean, log_p, entropy(log_p), int(mean.argmax()))


def shared_weight(views: int, rows: Tensor) -> Tensor:
    """[v] equal weights on `rows`, none elsewhere; they sum to 1."""
    return torch.zeros(views).index_fill(0, rows, 1 / len(rows))


def mean_log_probability(logits: Tensor) -> Tensor:
    """Log of the mean probability over rows, [k, c] -> [c]."""
    if len(logits) == 1:
        return logits[0].log_softmax(-1)
    return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))


def round_sizes(views: int, agreement: float) -> tuple[int, ...]:
    """How many views to look at before asking whether they are enough, each time; never, if the agreement is 1."""
    return tuple(range(max(8, views // 8), views, max(4, views // 16))) if agreement < 1 else ()


def doubt_per_round(views: int, agreement: float) -> float:
    """The probability of a wrong end that each of the rounds may have, so that all together have 1 − agreement."""
    return (1 - agreement) / max(1, len(round_sizes(views, agreement)))


def lead_is_settled(support: Tensor, logits: Tensor, total: int, doubt: float) -> bool:
    """Whether the answer `logits` [c] still leads its runner-up after `total` rows, except with probability `doubt`.

    `support` [k, c] is what each of the first k rows adds for each class. Their leads are taken for draws without
    replacement: the mean of k of them is apart from that of all by s·sqrt((total − k) / (k·total)) (Cochran, Sampling
    Techniques, 1977, theorem 2.2). One row more that is for neither stands for what few rows do not show.
    """
    rows = len(support)
    if rows >= total or len(logits) < 2:
        return True
    if doubt <= 0:
        return False
    first, second = logits.topk(2).indices.tolist()
    lead = torch.cat([support[:, first] - support[:, second], support.new_zeros(1)])
    mean, deviation = float(lead.mean()), float(lead.std()) * math.sqrt((total - rows) / (rows * total))
    return mean > 0 and mean >= NormalDist().inv_cdf(1 - doubt) * deviation


def marginal_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the mean probability over rows [k, c]. Shu et al., 2022, arXiv:2209.07511, eq. 2."""
    log_p = mean_log_probability(logits)
    log_p = log_p.clamp_min(torch.finfo(log_p.dtype).min)
    return -(log_p.exp() * log_p).sum()


def unit(x: Tensor) -> Tensor:
    """Rows [..., d] divided by their norm; a zero row stays zero."""
    return torch.nn.functional.normalize(x, dim=-1, eps=1e-12)


def pull_back(
    outputs: Tensor, inputs: Sequence[Tensor], gradient: Tensor, *, keep_graph: bool = False
) -> tuple[Tensor, ...]:
    """The vector-Jacobian product: a `gradient` on the outputs as gradients on the inputs.

    As by `torch.autograd.grad(outputs, inputs, gradient)`, which imports sympy (a second and 40 MB) to compare shapes.
    """
    with torch.enable_grad():
        product = (outputs * gradient).sum()
    return torch.autograd.grad(product, inputs, retain_graph=keep_graph)


def adam(
    value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: int, rate: float, decay: float = 0.0
) -> None:
    """One step of AdamW (arXiv:1711.05101), the `step`-th from 1, on `value` and its two moments. In place."""
    value.mul_(1 - rate * decay)
    first.lerp_(gradient, 0.1)
    second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    size = (second / (1 - 0.999**step)).sqrt_().add_(1e-8)
    value.addcdiv_(first, size, value=-rate / (1 - 0.9**step))


def lower_factor(matrix: Tensor) -> Tensor | None:
    """Cholesky factor [d, d] in float32 of a symmetric matrix.

    If that fails, a millionth of the mean eigenvalue is added to the diagonal; None when it fails again.
    """
    a = matrix.float()
    a = 0.5 * (a + a.T)
    for _ in range(2):
        factor, failed = torch.linalg.cholesky_ex(a)
        if not failed and factor.diagonal().isfinite().all():
            return factor
        a.diagonal().add_(1e-6 * a.trace() / len(a))
    return None


def inverse(matrix: Tensor) -> Tensor | None:
    """Inverse [d, d] in float32 of a symmetric positive definite matrix; None when it is not."""
    factor = lower_factor(matrix)
    return None if factor is None else torch.cholesky_inverse(factor)


def pseudo_inverse(matrix: Tensor) -> Tensor:
    """Moore-Penrose inverse [d, d] in float32 of a positive semidefinite matrix.

    Directions with less than d·eps times the largest eigenvalue are dropped, as `torch.linalg.pinv` does in float32.
    """
    cutoff = len(matrix) * torch.finfo(torch.float32).eps
    full = inverse(matrix)
    if full is not None and _condition_below(0.5 / cutoff, matrix.float(), full):
        return full  # no eigenvalue is near the cutoff
    values, vectors = torch.linalg.eigh(0.5 * (matrix + matrix.T).double())
    kept = values > cutoff * values[-1]
    return ((vectors[:, kept] / values[kept]) @ vectors[:, kept].T).float()


def _condition_below(most: float, matrix: Tensor, inverted: Tensor) -> bool:
    """True only if the condition number is below `most`. Bounded by ‖A‖ ≤ ‖A^p‖_F^(1/p), tighter for larger p."""
    size, inverted_size = matrix.norm(), inverted.norm()
    a, b = matrix / size, inverted / inverted_size  # so that powers stay in range
    for root in (1.0, 0.5, 0.25):
        if float(size * inverted_size * (a.norm() * b.norm()) ** root) < most:
            return True
        a, b = a @ a, b @ b
    return False
