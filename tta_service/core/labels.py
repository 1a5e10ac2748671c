"""The classes of a request: a label set, and its features from the text tower."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import BadLabels, Unsupported


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Class names, distinct unless duplicates are allowed, and the sentence templates that they fill.

    `sentences` are more descriptions of single classes, taken as they are: for each name some, none, or by name in a
    mapping. Equal sets share one `TextSpace`. Raises `BadLabels`, which names the field.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)
    allow_duplicates: bool = field(default=False, compare=False, repr=False)  # the position tells such classes apart
    sentences: tuple[tuple[str, ...], ...] = ()  # one entry for each name, or nothing at all
    id: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for given in ("names", "templates"):
            object.__setattr__(self, given, check_texts(getattr(self, given), given))  # lists are accepted too
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
        object.__setattr__(self, "sentences", _check_sentences(self.sentences, self.names))
        hashed = [self.names, self.templates, *([self.sentences] if self.sentences else ())]
        text = json.dumps(hashed, ensure_ascii=False, separators=(",", ":"))
        object.__setattr__(self, "id", hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])

    @property
    def prompt_count(self) -> int:
        """How many sentences the text tower encodes for the set."""
        return len(self.names) * len(self.templates) + sum(map(len, self.sentences))

    @property
    def texts(self) -> tuple[str, ...]:
        """Names, templates and sentences."""
        return (*self.names, *self.templates, *chain.from_iterable(self.sentences))

    def prompts(self, template: str) -> list[str]:
        """The sentences of one template, one per name. An underscore in a name stands for a space."""
        return [template.replace("{}", name.replace("_", " ")) for name in self.names]


def check_texts(given: Any, field: str) -> tuple[str, ...]:
    """The texts as a tuple. A single text is refused, because it would be split into letters. Raises `BadLabels`."""
    if isinstance(given, str):
        raise BadLabels(f"{field} is a single text; give several, ({given[:40]!r}, …)", field)
    try:
        texts: tuple[Any, ...] = tuple(given)
    except TypeError:
        raise BadLabels(f"{field} are several texts, not a {type(given).__name__}", field) from None
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadLabels(f"{field}[{place}] is a {type(text).__name__}, not a text", f"{field}[{place}]")
    return texts


def _check_sentences(given: Any, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The sentences of each name; nothing if there are none at all."""
    if isinstance(given, str):
        raise BadLabels("sentences is a single text; give several of each name", "sentences")
    each = _by_place(dict(given), names) if isinstance(given, Mapping) else tuple(given)  # type: ignore[reportUnknownArgumentType]
    if each and len(each) != len(names):
        raise BadLabels(f"there are sentences for {len(each)} names; the set has {len(names)}", "sentences")
    sentences = tuple(check_texts(some, f"sentences[{place}]") for place, some in enumerate(each))
    for place, some in enumerate(sentences):
        empty = next((other for other, sentence in enumerate(some) if not sentence.strip()), None)
        if empty is not None:
            raise BadLabels(f"sentence {empty} of name {place} is empty", f"sentences[{place}][{empty}]")
    return sentences if any(sentences) else ()


def _by_place(by_name: dict[Any, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    unknown = next((name for name in by_name if name not in names), None)
    if unknown is not None:
        raise BadLabels(f"there are sentences for {unknown!r}, which is no name", "sentences")
    return tuple(by_name.get(name, ()) for name in names)


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

    `features` [c, d] have unit norm: the mean of the unit features of the filled templates and the class's own
    sentences, normalised again.
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
