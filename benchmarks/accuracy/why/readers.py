"""The reading half of the strategies that write the frame before they answer, and turns that use it otherwise.

A memory read after the write gives the published answer (a test holds that). Read before it, the frame cannot vouch
for itself. Written under its true label, after reading, the memory is the best that pseudo-labels could become.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tta_service.core.evidence import Evidence
from tta_service.core.strategy import Strategy
from tta_service.maths import entropy, summarise
from tta_service.strategies import adapt, boost_adapter, dmn, oga, tda

Reader = Callable[[Any, Evidence, Any], Tensor]
Writer = Callable[[Any, Evidence, Any, int], None]


def _read_tda(self: tda.TDA, seen: Evidence, memory: tda.Caches) -> Tensor:
    image = summarise(seen, self.confident)
    logits = image.logits + self.alpha * tda.support(memory.keys, memory.entropy, image.feature, self.beta)
    return logits - _object(self, memory, image.feature)


def _read_boost_adapter(self: boost_adapter.BoostAdapter, seen: Evidence, memory: tda.Caches) -> Tensor:
    image = self.summarise_views(seen)
    affinity = tda.support(memory.keys, memory.entropy, image.feature, self.beta)
    boosted = self.boost(affinity, seen, memory, image.feature)  # with one view that is the frame itself
    return image.logits + self.alpha * boosted - _object(self, memory, image.feature)


def _object(self: tda.TDA | boost_adapter.BoostAdapter, memory: tda.Caches, feature: Tensor) -> Tensor | float:
    return self.negative_alpha * tda.objection(memory, feature, self.negative_beta) if self.negative else 0.0


def _read_oga(self: oga.OGA, seen: Evidence, memory: oga.Gaussians) -> Tensor:
    feature, logits, _ = self.read_plain_view(seen)
    likelihood = (self.tau * (memory.projected @ feature + memory.bias)).log_softmax(-1)
    return (logits.log_softmax(-1) + likelihood).log_softmax(-1)


def _read_adapt(self: adapt.Adapt, seen: Evidence, memory: adapt.Bank) -> Tensor:
    image = summarise(seen, self.confident)
    score = (memory.projected @ image.feature + memory.bias).log_softmax(-1)
    filled = max(1, int(memory.entropy.isfinite().sum()))
    score = score + self.kappa / (2 * filled) * (memory.weight * (memory.features @ image.feature)).sum(-1)
    return image.logits + max(1.0, float(image.logits.max())) / self.kappa * (score - score.max())


def _read_dmn(self: dmn.DMN, seen: Evidence, memory: dmn.Slots) -> Tensor:
    plain, text = seen.views[0], seen.text
    prototypes = dmn.read(memory, text.features, plain, self.beta)
    remembered = (text.scale * (prototypes @ plain)).softmax(-1)
    return ((text.scale * (text.features @ plain)).softmax(-1) + self.weight * remembered).log()


def _write_tda(self: tda.TDA, seen: Evidence, memory: tda.Caches, label: int) -> None:
    image = summarise(seen, self.confident)
    tda.keep_surest(memory.keys[label], memory.entropy[label], image.feature, image.entropy)


def _write_oga(self: oga.OGA, seen: Evidence, memory: oga.Gaussians, label: int) -> None:
    feature, logits, _ = self.read_plain_view(seen)
    doubt, slot = entropy(logits), int(memory.entropy[label].argmax())
    if doubt < memory.entropy[label, slot]:
        oga.learn(self, memory, seen.text, label, slot, feature, doubt)


def _write_adapt(self: adapt.Adapt, seen: Evidence, memory: adapt.Bank, label: int) -> None:
    image = summarise(seen, self.confident)._replace(label=label)
    slot = int(memory.entropy[label].argmax())
    if image.entropy < memory.entropy[label, slot]:
        adapt.learn(self, memory, seen.text, slot, image)


def _write_dmn(self: dmn.DMN, seen: Evidence, memory: dmn.Slots, label: int) -> None:
    dmn.keep_surest(memory, label, seen.views[0], summarise(seen, self.confident).entropy)


READERS: dict[str, Reader] = {
    "tda": _read_tda,
    "boost_adapter": _read_boost_adapter,
    "oga": _read_oga,
    "adapt": _read_adapt,
    "dmn": _read_dmn,
}
WRITERS: dict[str, Writer] = {"tda": _write_tda, "oga": _write_oga, "adapt": _write_adapt, "dmn": _write_dmn}


def read_first(strategy: Strategy[Any], seen: Evidence, memory: Any, label: int) -> tuple[Tensor, Any]:
    """Answers from the memory as it was before this frame, then writes as published."""
    logits = READERS[strategy.name](strategy, seen, memory).clone()
    return logits, strategy.adapt(seen, memory)[1]


def taught(strategy: Strategy[Any], seen: Evidence, memory: Any, label: int) -> tuple[Tensor, Any]:
    """Answers from the memory as it was, then writes the frame under its true label."""
    logits = READERS[strategy.name](strategy, seen, memory).clone()
    WRITERS[strategy.name](strategy, seen, memory, label)
    return logits, memory
