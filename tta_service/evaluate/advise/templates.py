"""Which sentences to ask CLIP with, judged on the plain views of some images.

With labels a template is worth the log of the probability that it gives the right class. Without any it is worth the
information that an answer carries about which image it is, KL(p(image) ‖ mean p), as discriminative clustering has it
(Bridle et al., NIPS 1991): answers that are sure, and differ. Another template than the caller's is taken only if it is
better by more than chance may do, and with labels only if it is right at least as often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...clip.text.templates import SETS, expand_templates
from ...core.labels import LabelSet
from ...serving.text.cache import TextSpaceCache

TRIED = ("a photo of a {}.", "a sketch of a {}.", "a drawing of a {}.", "a painting of a {}.", "a cartoon of a {}.")
TRIED += ("a bad photo of a {}.", "a dark photo of a {}.", "a close-up photo of a {}.", "{}", *SETS)
Progress = Callable[[str, int, int], None]  # (task, done, of how many)
SURE = 2.0  # standard errors by which another template must be better
PROMPTS = 20_000  # sets of templates that make more prompts than this are left out: encoding them takes minutes


@dataclass(frozen=True, slots=True)
class TemplateOpinion:
    """One template, or a set by its name, beside the caller's."""

    name: str
    gain: float  # nats an image
    error: float  # its standard error
    right: float | None  # share of the labelled images
    believed: bool


@dataclass(frozen=True, slots=True)
class TemplateAdvice:
    """The label set with the recommended template, its name ("" for the caller's own), and the opinions on all."""

    labels: LabelSet
    name: str
    opinions: tuple[TemplateOpinion, ...]


async def judge_templates(
    texts: TextSpaceCache,
    labels: LabelSet,
    plain: Tensor,
    truth: Sequence[int | None] = (),
    progress: Progress = lambda what, done, of: None,
) -> TemplateAdvice:
    """Tries all templates. `plain` [n, d] are features of plain views, `truth` their classes where they are known."""
    known = torch.tensor([place for place, label in enumerate(truth) if label is not None], dtype=torch.long)
    classes = torch.tensor([label for label in truth if label is not None], dtype=torch.long)
    own, opinions, sets = await _judge(texts, labels, plain, known, classes), list[TemplateOpinion](), {"": labels}
    for place, name in enumerate(TRIED):
        progress("templates", place, len(TRIED))
        other = replace(labels, templates=expand_templates([name]))
        if other.templates == labels.templates or other.prompt_count > PROMPTS:
            continue
        sets[name] = other
        opinions.append(_compare(name, own, await _judge(texts, other, plain, known, classes)))
    best = max((one for one in opinions if one.believed), key=lambda one: one.gain, default=None)
    name = best.name if best else ""
    return TemplateAdvice(sets[name], name, tuple(opinions))


def _compare(name: str, own: tuple[Tensor, float | None], other: tuple[Tensor, float | None]) -> TemplateOpinion:
    """A template beside the caller's own, given the worth [n] of both and the shares that are right."""
    each, (right, before) = other[0] - own[0], (other[1], own[1])
    gain, error = float(each.mean()), float(each.std()) / len(each) ** 0.5
    no_worse = right is None or before is None or right >= before
    return TemplateOpinion(name, gain, error, right, gain > SURE * error and no_worse)


async def _judge(
    texts: TextSpaceCache, labels: LabelSet, plain: Tensor, known: Tensor, classes: Tensor
) -> tuple[Tensor, float | None]:
    """The worth [n] of each image, or of each labelled one; and the share of these that is right."""
    text = await texts.get(labels)
    scores = (text.scale * plain @ text.features.T).double().log_softmax(-1)  # [n, c]
    if len(known):
        some = scores[known]
        return some[torch.arange(len(known)), classes], float((some.argmax(-1) == classes).double().mean())
    mean = scores.exp().mean(0).clamp_min(1e-12).log()
    return (scores.exp() * (scores - mean)).sum(-1), None
