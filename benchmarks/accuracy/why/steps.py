"""One prompt tuned for one picture: how far that moves the logits, and which way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tta_service.core.evidence import Evidence
from tta_service.core.labels import Prompts
from tta_service.maths import confident_rows, marginal_entropy
from tta_service.strategies.tpt import first_template, tune

from .streams import Stream

CONFIDENT = 0.1  # of the views, as `tpt` keeps them


class Watched:
    """Prompts that remember what they were last encoded to."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts, self.last = prompts, torch.zeros(0)

    @property
    def context(self) -> Tensor:
        return self._prompts.context

    def encode(self, context: Tensor, classes: Tensor | None = None) -> Tensor:
        features = self._prompts.encode(context, classes)
        self.last = features.detach()
        return features

    def gradient(self, d_features: Tensor) -> Tensor:
        return self._prompts.gradient(d_features)


@dataclass
class Step:
    """What one tuning did to one picture. Log-probabilities in nats."""

    moved: float  # the largest change of a centred logit
    margin: float  # of the zero-shot answer over the next
    changed: bool
    corrected: bool
    broken: bool
    towards_truth: float  # change of the true class's log-probability
    sharper: float  # change of the entropy of the confident views' mean


def steps_of(stream: Stream, strategy: Any, rate: float, folder: Path) -> list[Step]:
    """Of every picture; kept, and read the next time. No strategy: by the true label."""
    name = hashlib.sha256(f"{stream.key} {len(stream)} {strategy!r} {rate}".encode()).hexdigest()[:24]
    path = folder / f"step-{name}.json"
    if not path.exists():
        some = [asdict(tune_once(stream, place, strategy, rate)) for place in range(len(stream))]
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        half.write_text(json.dumps(some))
        half.replace(path)
    return [Step(**one) for one in json.loads(path.read_text())]


def tune_once(stream: Stream, place: int, strategy: Any, rate: float) -> Step:
    """One picture tuned for; by its true label where no strategy is given."""
    watched = Watched(stream.text.prompts)
    text = replace(stream.text, make_prompts=lambda: watched)
    seen, truth = Evidence(stream.rows[place], text), int(stream.labels[place])
    with torch.no_grad():
        before = seen.logits(first_template(text))
        if strategy is None:
            after = _by_truth(seen, truth, rate)
        else:
            after = strategy.adapt(seen, None)[0]
        kept = confident_rows(seen, CONFIDENT, before)
        sharper = marginal_entropy(seen.logits(watched.last)[kept]) - marginal_entropy(before[kept])
        plain, best = before[0], before[0].topk(2).values
        moved = (after - after.mean()) - (plain - plain.mean())
        was, now = int(plain.argmax()), int(after.argmax())
        gained = after.log_softmax(-1)[truth] - plain.log_softmax(-1)[truth]
    return Step(
        float(moved.abs().max()),
        float(best[0] - best[1]),
        was != now,
        now == truth != was,
        was == truth != now,
        float(gained),
        float(sharper),
    )


def _by_truth(seen: Evidence, truth: int, rate: float) -> Tensor:
    text, plain = seen.text, seen.views[:1].double()

    def loss(features: Tensor) -> Tensor:
        return cross_entropy(text.scale * plain @ features.double().T, torch.tensor([truth]))

    context = tune(text, first_template(text), loss, 1, rate, 0.01)
    return text.scale * text.prompts.encode(context) @ seen.views[0]
