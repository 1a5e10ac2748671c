"""Signs, without labels, that the recent frames of a session are not of a world that the model knows.

All are means of plain CLIP's answers over the last frames. They are ours, and `benchmarks/accuracy.py signs` measures
them: how much an answer depends on its picture (the mutual information of both, over ln c) tells a collapsed world from
one of few classes, and the mean entropy a foreign one. A cosine by itself tells nothing, because what is usual differs
more between label sets than between worlds; so it is compared with those of the session's first frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from ...core.caution import Caution, CautionKind
from ...core.moving_average import MovingAverage
from ...core.request import Report, Scores

WINDOW = 256  # frames after which a frame's weight has decayed to 1/e, and the first ones that later ones compare with
FEWEST = 100.0  # decayed frames below which nothing is said
DEPENDENT = 0.08  # share of ln c that answers must tell about pictures
UNSURE = 0.5  # mean entropy over ln c from which answers that depend on nothing are a collapse, not one lasting scene
FOREIGN = 0.6  # mean entropy over ln c above which the pictures fit none of the names
STILL = 0.01  # of their mean: the cosines of a scene that stands still spread less, which makes nothing of it large
LOWER = 2.0  # standard deviations of the first frames' best cosine by which the recent mean lies below theirs
MUCH = 0.2  # share of their mean that it must be, too: one scene's cosines hardly spread
NARROWER = 0.5  # effective number of classes of a memory's answers, over that of plain CLIP's
LABEL_SETS = 4  # that a session watches at a time
ASK_EVERY = 64  # frames of a collapsed world from one question to the next
MOST_WAITING = 8  # questions about a collapsed world
ALARMING = {"drift": 3.0, "flips": 0.5, "rejections": 0.5, "resets": 3.0}  # signs from which a session is named


@dataclass(frozen=True, slots=True)
class AnswerStatistics:
    """What a session's answers were like since it was opened here."""

    flips: int  # answers whose label adaptation changed
    deferred: int  # answers that were left to a person
    resets: int  # answers whose memory was lost and began anew
    rejections: int  # frames that no memory learnt from by `admit_below`, and answers that the guard gave without one
    drift: float | None  # standard deviations by which recent best cosines lie below the first ones; None: too early


class SessionWatch:
    """Watches the frames of one session, for each label set by itself. It is not part of snapshots."""

    def __init__(self) -> None:
        self._windows: LRUCache[str, _Window] = LRUCache(LABEL_SETS)
        self._newest: _Window | None = None
        self._since = ASK_EVERY
        self._flips = self._deferred = self._resets = self._rejections = 0
        self._shares = MovingAverage[NDArray[np.float64]](WINDOW)  # [2] of recent frames: flips, rejections
        self._shares.value = np.zeros(2)
        self._alarming = set[str]()

    @property
    def statistics(self) -> AnswerStatistics:
        """The counts of all label sets, and the drift within the one of the last frame."""
        counts = self._flips, self._deferred, self._resets, self._rejections
        return AnswerStatistics(*counts, self._newest.drift if self._newest else None)

    @property
    def signs(self) -> Mapping[str, float]:
        """What speaks against the session's answers, the larger the more. Any thread may read it.

        `flips` and `rejections` are shares of the recent frames, of `FEWEST` at least; `drift` is as in `statistics`.
        """
        flips, rejections = map(float, self._shares.value * min(1.0, self._shares.seen / FEWEST))
        found = {"flips": flips, "rejections": rejections, "resets": float(self._resets)}
        drift = self._newest.drift if self._newest else None
        return found if drift is None else found | {"drift": drift}

    def new_alarms(self) -> list[str]:
        """The signs that have become alarming since the last call; one is told again after it has fallen to a half."""
        signs = self.signs
        new = [sign for sign, value in signs.items() if value >= ALARMING[sign] and sign not in self._alarming]
        self._alarming = {sign for sign in self._alarming if signs.get(sign, 0.0) >= ALARMING[sign] / 2} | set(new)
        return new

    def observe(self, report: Report, taught: bool) -> tuple[Caution, ...]:
        """Counts an answer; the warnings for it. A memory that is `taught` is meant to answer otherwise."""
        labels, answer, plain = report.request.labels, report.scores, report.zero_shot_scores
        found = untaught_names(report) if report.unseen else ()
        flipped, rejected = answer.best != plain.best, report.rejected or report.guarded
        self._flips += flipped
        self._rejections += rejected
        self._resets += report.session.memory_reset
        self._shares.add(np.array((flipped, rejected), np.float64))
        self._deferred += report.trust is not None and report.trust.decision == "defer"
        if len(plain.values) == 1 or math.isnan(plain.entropy):
            return found
        if (window := self._windows.get(labels.id)) is None:
            window = self._windows[labels.id] = _Window(len(plain.values))
        self._newest = window
        window.add(plain, answer.best)
        return (*window.cautions(taught), *found)

    def should_ask(self, cautions: tuple[Caution, ...], waiting: Callable[[], int]) -> bool:
        """Whether a person is asked about a frame with these warnings, given how many such questions wait."""
        self._since += 1
        collapsed = any(one.kind is CautionKind.FEW_CLASSES for one in cautions)
        if collapsed and self._since > ASK_EVERY and waiting() < MOST_WAITING:
            self._since = 0
            return True
        return False


class _Window:
    """Exponentially decaying sums over frames, with those of the first frames."""

    def __init__(self, classes: int) -> None:
        self._chance = np.zeros(classes, np.float32)  # [c] probabilities
        self._labels = np.zeros((2, classes), np.float32)  # of plain CLIP and of the answers
        self._frames = self._entropies = self._best = 0.0  # sums, the last of best logits
        self._first = 0.0, 0.0, 0.0  # frames, best logits, their squares; undecayed

    def add(self, plain: Scores, label: int) -> None:
        """A frame with plain CLIP's scores, and the label that was answered."""
        decay, best = 1 - 1 / WINDOW, float(plain.logits[plain.best])
        self._chance *= decay
        self._labels *= decay
        self._chance += plain.values
        self._labels[0, plain.best] += 1
        self._labels[1, label] += 1
        self._frames = self._frames * decay + 1.0
        self._entropies = self._entropies * decay + plain.entropy
        self._best = self._best * decay + best
        frames, total, squares = self._first
        if frames < WINDOW:
            self._first = frames + 1.0, total + best, squares + best * best

    def cautions(self, taught: bool) -> list[Caution]:
        """What is wrong with the recent frames."""
        if self._frames < FEWEST:
            return []
        classes, whole = len(self._chance), math.log(len(self._chance))
        unsure = self._entropies / self._frames / whole
        if unsure > UNSURE and _entropy(self._chance) / whole - unsure < DEPENDENT:
            fall = f"they fall on {_effective(self._labels[0]):.1f} of {classes} classes"
            return [Caution(CautionKind.FEW_CLASSES, f"plain answers hardly depend on the picture: {fall}")]
        if unsure > FOREIGN:
            text = f"the pictures fit none of the names well: mean entropy is {unsure:.0%} of that of chance"
            return [Caution(CautionKind.FOREIGN, text)]
        if (lower := self.drift or 0.0) > LOWER and self._is_much_lower():
            by = f"by {lower:.1f} standard deviations of the cosine"
            return [Caution(CautionKind.FOREIGN, f"the pictures fit the names less than the first did, {by}")]
        plain, answers = map(_effective, self._labels)
        if taught or answers >= NARROWER * plain:
            return []
        text = f"the memory's answers fall on {answers:.1f} classes, plain ones on {plain:.1f}"
        return [Caution(CautionKind.FEW_CLASSES, text)]

    @property
    def drift(self) -> float | None:
        """By how many standard deviations the recent best logits lie below the first; None while those are too few."""
        frames, total, squares = self._first
        if frames < WINDOW:
            return None
        mean = total / frames
        spread = math.sqrt(max(squares / frames - mean * mean, 0.0))
        return (mean - self._best / self._frames) / max(spread, STILL * abs(mean), 1e-9)

    def _is_much_lower(self) -> bool:
        mean = self._first[1] / self._first[0]
        return mean - self._best / self._frames > MUCH * abs(mean)


def untaught_names(report: Report) -> tuple[Caution, ...]:
    """The warning for an answer to names of which the text tower was never taught some."""
    names = f"{len(report.unseen)} of {len(report.request.labels.names)} names"
    return (Caution(CautionKind.UNTAUGHT_NAMES, f"the text tower was never taught {names}: see unseen"),)


def _effective(counts: NDArray[np.float32]) -> float:
    """The effective number of classes."""
    return math.exp(_entropy(counts))


def _entropy(weights: NDArray[np.floating]) -> float:
    """Nats; `weights` need not sum to 1."""
    share = weights[weights > 0] / weights.sum()
    return float(-(share @ np.log(share)))


def rank_signs(watches: Iterable[SessionWatch], count: int = 5) -> dict[tuple[str, str], float]:
    """The largest values of each sign by rank, "1" the worst. Any thread may ask."""
    signs = [watch.signs for watch in watches]
    largest = {sign: nlargest(count, (one[sign] for one in signs if sign in one)) for sign in ALARMING}
    return {(sign, str(rank)): value for sign, values in largest.items() for rank, value in enumerate(values, 1)}
