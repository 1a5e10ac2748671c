"""CutMixOut: prototypes averaged over texts that lost, or swapped, some of their words.
After Fawakherji et al., WACV Workshops 2024, arXiv:2312.01605.

Published, as far as it could be read: for retrieval, words are cut out of a description and parts of two descriptions
are spliced, each with a probability, at test time and without training. Everything else here is ours: lengths, number
of copies, the protected class name, averaging into a prototype. No published number is claimed. With one template
words are only cut.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import LabelSet, TextSpace
from ..core.strategy import Needs, Scope, Strategy
from ..maths import unit

Word = tuple[str, bool]  # and whether it is protected


class Prototypes(NamedTuple):
    """One averaged text feature for each class."""

    features: Tensor  # [c, d] unit norm


@register_strategy("cutmixout")
@dataclass(frozen=True)
class CutMixOut(Strategy[Prototypes]):
    """Works once per label set. The random draws depend on the set of names, not on their order."""

    copies: Annotated[int, Ge(0), Le(64), "changed copies per class, beside the originals"] = 8
    p_cutout: Annotated[float, Ge(0), Le(1), "probability that a copy loses words"] = 0.5
    p_cutmix: Annotated[float, Ge(0), Le(1), "probability that a copy takes words of another template"] = 0.5
    span: Annotated[float, Gt(0), Le(1), "largest fraction of words lost or taken"] = 0.3
    protect_names: Annotated[bool, "class names stay whole"] = True

    def needs(self) -> Needs:
        """One view; a memory that all sessions of a label set share."""
        return Needs(memory=Scope.LABELS)

    def begin(self, text: TextSpace) -> Prototypes:
        """Embeds each distinct sentence once, and averages those of a class."""
        each = [self.texts(text.labels, place) for place in range(len(text.labels.names))]
        # Sorted, so that rounding does not depend on the order of names.
        distinct = sorted({sentence for texts in each for sentence in texts})
        embedded = text.embed(distinct)  # [m, d]
        place = {sentence: row for row, sentence in enumerate(distinct)}
        return Prototypes(unit(torch.stack([embedded[[place[one] for one in texts]].mean(0) for texts in each])))

    def adapt(self, seen: Evidence, memory: Prototypes) -> tuple[Tensor, Prototypes]:
        """The plain view against the prototypes."""
        return seen.text.scale * (memory.features @ seen.views[0]), memory

    def texts(self, labels: LabelSet, place: int) -> list[str]:
        """The sentences of class `place`: the templates filled, its own, then copies of the filled templates."""
        sentences = [words(template, labels.names[place], self.protect_names) for template in labels.templates]
        seed = _seed(labels, labels.names[place])
        copies = [self._copy(sentences, r, random.Random(f"{seed}/{r}")) for r in range(self.copies)]
        originals = [labels.prompts(template)[place] for template in labels.templates]
        own = labels.sentences[place] if labels.sentences else ()
        return [*originals, *own, *map(join_words, copies)]

    def _copy(self, sentences: list[list[Word]], r: int, rng: random.Random) -> list[Word]:
        """All numbers are drawn, used or not, so that the draws for cutting do not depend on `p_cutmix`."""
        base = r % len(sentences)
        copy, others = list(sentences[base]), sentences[:base] + sentences[base + 1 :]
        u_mix, u_out = rng.random(), rng.random()
        len_mix, len_out = (max(1, int(rng.uniform(0.1, self.span) * len(copy))) for _ in range(2))
        if others:
            other = rng.choice(others)
            length = min(len_mix, len(copy), len(other))
            i, j = rng.randrange(len(copy) - length + 1), rng.randrange(len(other) - length + 1)
            if u_mix < self.p_cutmix:
                pairs = zip(copy[i : i + length], other[j : j + length])
                copy[i : i + length] = [old if old[1] or new[1] else new for old, new in pairs]
        length = min(len_out, len(copy) - 1)
        i = rng.randrange(len(copy) - length + 1)
        left = copy[:i] + [word for word in copy[i : i + length] if word[1]] + copy[i + length :]
        return left if u_out < self.p_cutout and left else copy


def _seed(labels: LabelSet, name: str) -> str:
    """The seed of a name in its label set, whatever the order of names."""
    id, ranks = _order(labels)
    return f"{id}/{ranks[name]}"


@lru_cache(maxsize=8)
def _order(labels: LabelSet) -> tuple[str, dict[str, int]]:
    """The id of the label set with its names in order, and the first place of each there."""
    names = sorted(labels.names)
    ranks = {name: rank for rank, name in reversed([*enumerate(names)])}
    return replace(labels, names=tuple(names), allow_duplicates=True, sentences=()).id, ranks


def words(template: str, name: str, protected: bool) -> list[Word]:
    """The words of a filled template. If `protected`, words that contain a part of the name are marked as such."""
    name = name.replace("_", " ")
    start = template.index("{}")
    found = re.finditer(r"\S+", template.replace("{}", name))
    return [(word[0], protected and word.start() < start + len(name) and word.end() > start) for word in found]


def join_words(sentence: list[Word]) -> str:
    """The words with single spaces between them."""
    return " ".join(word for word, _ in sentence)
