"""The classes of a request: a label set, and its features from the text tower."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import BadLabels, Unsupported


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Class names, distinct unless duplicates are allowed, and the sentence templates that they fill.

    Equal sets share one `TextSpace`. Raises `BadLabels`, which names the field.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)
    allow_duplicates: bool = field(default=False, compare=False, repr=False)  # the position tells such classes apart
    id: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for given in ("names", "templates"):
            object.__setattr__(self, given, _check_texts(getattr(self, given), given))  # lists are accepted too
        if not self.names:
            raise BadLabels("a label set needs at least one name", "names")
        if not self.templates:
            raise BadLabels("a label set needs at least one template", "templates")
        first: dict[str, int] = {}
        for place, name in enumerate(self.names):
            if not name.replace("_", " ").strip():  # underscores stand for spaces
                raise BadLabels(f"name {place} is empty", f"names[{place}]")
            if first.setdefault(name, place) != place and not self.allow_duplicates:
                raise BadLabels(_TWICE.format(first=first[name], place=place, name=name), f"names[{place}]")
        for place, template in enumerate(self.templates):
            if template.count("{}") != 1 or set(template.replace("{}", "")) & set("{}"):
                raise BadLabels(_BRACES.format(place=place, template=template), f"templates[{place}]")
        text = json.dumps([self.names, self.templates], ensure_ascii=False, separators=(",", ":"))
        object.__setattr__(self, "id", hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])

    def prompts(self, template: str) -> list[str]:
        """The sentences of one template, one per name. An underscore in a name stands for a space."""
        return [template.replace("{}", name.replace("_", " ")) for name in self.names]


def _check_texts(given: Any, field: str) -> tuple[str, ...]:
    """The texts as a tuple. A single text is refused, because it would be split into letters."""
    if isinstance(given, str):
        raise BadLabels(f"{field} is a single text; give several, ({given[:40]!r}, …)", field)
    texts: tuple[Any, ...] = tuple(given)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadLabels(f"{field}[{place}] is a {type(text).__name__}, not a text", f"{field}[{place}]")
    return texts


_TWICE = "names {first} and {place} are both {name!r}; allow_duplicates takes them as two classes"
_BRACES = "template {place} ({template!r}) must hold {{}} exactly once and no other brace"


@runtime_checkable
class Prompts(Protocol):
    """`templates[0]` of a label set *before* the text tower: differentiable in its context.

    The context is the template's BPE tokens outside `{}` and without a final full stop (TPT, arXiv:2209.07511).
    """

    @property
    def context(self) -> Tensor:
        """[k, w] token embeddings that all classes share. Raises `BadParameters` when the template has none."""
        ...

    def encode(self, context: Tensor, classes: Tensor | None = None) -> Tensor:
        """Context [k, w] to unit text features [c, d] (of the `classes` [m] only, if given); differentiable, pure."""
        ...

    def gradient(self, d_features: Tensor) -> Tensor:
        """Pull a gradient on the features, [c, d], back to the context, [k, w], at the initial context."""
        ...


@dataclass(frozen=True, eq=False)
class TextSpace:
    """A label set *through* the text tower.

    `features` [c, d] have unit norm: the mean over the templates' unit features, normalised again.
    `scale` is exp(logit_scale), 100 for OpenAI's CLIP. `unseen` are the names that are not in the text
    tower's training data.
    """

    labels: LabelSet
    features: Tensor
    scale: float = 100.0
    make_prompts: Callable[[], Prompts] | None = field(default=None, repr=False)
    embedder: Callable[[Sequence[str]], Tensor] | None = field(default=None, repr=False)
    unseen: tuple[str, ...] = ()

    @classmethod
    def of(cls, features: Tensor, scale: float = 100.0) -> TextSpace:
        """A space made of raw tensors [c, d], for maths without a model."""
        unit = torch.nn.functional.normalize(features.float(), dim=-1, eps=1e-12)
        return cls(LabelSet(tuple(f"class {i}" for i in range(len(features)))), unit, float(scale))

    @cached_property
    def prompts(self) -> Prompts:
        """The first template before the text tower. Raises `Unsupported` when this tower has no prompt gradients."""
        if self.make_prompts is None:
            raise Unsupported("this text tower offers no prompt gradients", "options.strategy.name")
        return self.make_prompts()

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Features [m, d] of more texts from the same tower, unit norm. A text that is too long is truncated.

        Raises `Unsupported` for a space of raw tensors.
        """
        if self.embedder is None:
            raise Unsupported("a text space made of raw tensors cannot embed text", "labels")
        return self.embedder(texts)

    @property
    def bytes(self) -> int:
        """Bytes of the text features."""
        return self.features.nbytes

    @property
    def activations(self) -> int:
        """Bytes that the prompts keep for backward passes; 0 before the first one."""
        return getattr(self.__dict__.get("prompts"), "kept_bytes", 0)

    def forget_activations(self) -> None:
        """Free the activations; the next backward pass computes them again."""
        if forget := getattr(self.__dict__.get("prompts"), "forget", None):
            forget()
