"""Which strategy to take, judged on images without labels.

Where a strategy and plain CLIP disagree, evidence that neither has used decides: other crops of the same image. The
mean of their probabilities gives each of the two answers a chance. The difference, averaged over all images, is the
believed gain of the strategy. Crops share the model's blind spots, so a small gain is not believed (`Rule.sure`), nor
is a strategy whose answers depend on its seed. `benchmarks/accuracy.py judge` measures how well this works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.strategy import Strategy


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The answers of one strategy to n images, and their cost."""

    strategy: Strategy[object]
    labels: Tensor  # [n] its answers
    plain: Tensor  # [n] those without adaptation
    again: Tensor  # [n] its answers under another seed: other crops, another order
    unseen: Tensor  # [n, c] mean probabilities of crops that it has not used
    entropy: float  # of its scores, mean, divided by ln c: 0 certain, 1 undecided
    views: int
    seconds: float  # one image: decode, cut, encode, adapt
    truth: Tensor | None = None  # [n] the classes; −1 where they are not known


@dataclass(frozen=True, slots=True)
class Rule:
    """When a gain is believed.

    `sure`: the standard errors by which it must exceed 0. `stable`: of the answers that a strategy changes, the share
    that it must change again under another seed. `near`: a difference in gain that is not worth a slower strategy.
    """

    sure: float = 2.0
    stable: float = 0.5
    near: float = 0.005


@dataclass(frozen=True, slots=True)
class Opinion:
    """One trial, judged."""

    name: str
    gain: float  # believed share of images won, less those lost
    error: float  # its standard error
    changed: float  # share of the answers that adapting changes
    stable: float  # share of its answers that stay under another seed
    entropy: float
    classes: int  # different answers
    views: int
    seconds: float
    fits: bool  # within the deadline
    believed: bool
    right: float | None = None  # share of the labelled images


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommended strategy, with the opinions on all and the reasons."""

    chosen: Trial
    opinion: Opinion
    opinions: tuple[Opinion, ...]  # of all trials, in their order
    reasons: tuple[str, ...]  # sentences


def judge(trials: Sequence[Trial], deadline: float | None = None, rule: Rule = Rule()) -> Advice:
    """Recommend the fastest of the best believed strategies, or plain CLIP, the first trial, when none is believed.

    `deadline` in seconds for one image; None for none.
    """
    opinions = tuple(_opinion(trial, trials[0], deadline, rule) for trial in trials)
    most = max((one.gain for one in opinions if one.believed), default=0.0)
    near = [place for place, one in enumerate(opinions) if one.believed and one.gain >= most - rule.near]
    place = min(near, key=lambda place: opinions[place].seconds, default=0)
    return Advice(trials[place], opinions[place], opinions, tuple(_reasons(opinions, place, deadline)))


def estimate_gain(trial: Trial) -> tuple[float, float]:
    """The share of images won minus those lost, and its standard error: measured on labelled images, else believed."""
    if (known := _known(trial)) is not None:
        right, plain = trial.labels[known] == trial.truth[known], trial.plain[known] == trial.truth[known]  # type: ignore[index]
        each = right.double() - plain.double()
    else:
        row = torch.arange(len(trial.labels))
        each = trial.unseen[row, trial.labels] - trial.unseen[row, trial.plain]  # [n]
    error = float(each.std()) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return float(each.mean()), error


def _known(trial: Trial) -> Tensor | None:
    """[k] the images whose class is known, if there are any."""
    known = None if trial.truth is None else (trial.truth >= 0).nonzero().flatten()
    return None if known is None or not len(known) else known


def _opinion(trial: Trial, plain: Trial, deadline: float | None, rule: Rule) -> Opinion:
    gained, error = estimate_gain(trial)
    changed, known = trial.labels != trial.plain, _known(trial)
    stayed = (trial.again == trial.labels)[changed]
    fits = deadline is None or trial.seconds <= deadline
    steady = float(stayed.double().mean()) if len(stayed) else 1.0
    believed = fits and trial is not plain and gained > rule.sure * error > 0 and steady >= rule.stable
    return Opinion(
        name=trial.strategy.name,
        gain=gained,
        error=error,
        changed=float(changed.double().mean()),
        stable=float((trial.again == trial.labels).double().mean()),
        entropy=trial.entropy,
        classes=len(trial.labels.unique()),
        views=trial.views,
        seconds=trial.seconds,
        fits=fits,
        believed=believed,
        right=None if known is None else float((trial.labels[known] == trial.truth[known]).double().mean()),  # type: ignore[index]
    )


def _reasons(opinions: Sequence[Opinion], place: int, deadline: float | None) -> Iterator[str]:
    limit = "" if deadline is None else f" of the {1e3 * deadline:.0f} ms that you allow"
    yield from _reasons_for(opinions, place, limit) if place else _reasons_against(opinions)
    if worse := [other.name for other in opinions[1:] if other.gain < -2 * other.error < 0]:
        yield f"Believed to hurt here: {', '.join(worse)}."
    if late := [other.name for other in opinions if not other.fits]:
        yield f"Too slow{limit}: {', '.join(late)}."


def _reasons_for(opinions: Sequence[Opinion], place: int, limit: str) -> Iterator[str]:
    one, plain = opinions[place], opinions[0]
    yield f"It changes {one.changed:.0%} of the answers. Crops that it has not seen side with it: believed gain "
    yield f"{100 * one.gain:+.1f} ± {100 * one.error:.1f} points of accuracy."
    yield f"{one.stable:.0%} of its answers stay under another seed; entropy {plain.entropy:.2f} before, "
    yield f"{one.entropy:.2f} after (0 certain, 1 clueless)."
    yield f"One image takes {1e3 * one.seconds:.0f} ms{limit}, plain CLIP {1e3 * plain.seconds:.0f} ms."
    if dearer := [other.name for other in opinions if other.believed and other.seconds > one.seconds]:
        yield f"Dearer and hardly better, if at all: {', '.join(dearer)}."


def _reasons_against(opinions: Sequence[Opinion]) -> Iterator[str]:
    yield "No strategy is believed to be better than plain CLIP on these images, by more than chance may do."
    if best := max(opinions[1:], key=lambda other: other.gain, default=None):
        yield f"Closest came {best.name}: {100 * best.gain:+.1f} ± {100 * best.error:.1f} points believed, "
        yield f"{best.stable:.0%} of its answers stay under another seed."
    yield f"Plain CLIP takes {1e3 * opinions[0].seconds:.0f} ms an image, which nothing undercuts."
