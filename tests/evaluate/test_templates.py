"""Which template is advised, on features whose best template is known."""

from __future__ import annotations

import torch

from tta_service.core.labels import LabelSet, TextSpace
from tta_service.evaluate.advise.templates import judge_templates
from tta_service.maths import unit

LABELS = LabelSet(("cat", "dog", "tree"))
SKETCH = "a sketch of a {}."


class Texts:
    """Text spaces by template: that of a sketch shows the true classes, the others are turned away from them."""

    def __init__(self, turned: float) -> None:
        self.turned = turned

    async def get(self, labels: LabelSet) -> TextSpace:
        truth = torch.eye(3, 8)
        away = torch.eye(3, 8)[[1, 2, 0]] + torch.eye(8)[5]
        features = truth if labels.templates == (SKETCH,) else unit(truth + self.turned * away)
        return TextSpace(labels, features, 10.0)


def images(count: int) -> tuple[torch.Tensor, list[int]]:
    draw = torch.Generator().manual_seed(0)
    labels = [place % 3 for place in range(count)]
    return unit(torch.eye(3, 8)[labels] + 0.2 * torch.randn(count, 8, generator=draw)), labels


async def test_labels_find_the_template_that_is_right():
    features, truth = images(60)
    found = await judge_templates(Texts(1.5), LABELS, features, truth)  # type: ignore[arg-type]
    assert found.name == SKETCH and found.labels.templates == (SKETCH,) and found.labels.names == LABELS.names
    one = next(one for one in found.opinions if one.name == SKETCH)
    assert one.believed and one.right == 1.0 and one.gain > 2 * one.error > 0


async def test_without_labels_sure_and_different_answers_speak_for_a_template():
    features, _ = images(60)
    found = await judge_templates(Texts(1.5), LABELS, features)  # type: ignore[arg-type]
    assert found.name == SKETCH and all(one.right is None for one in found.opinions)


async def test_templates_that_are_all_alike_leave_the_callers_own():
    features, truth = images(60)
    for known in ([], truth, [None] * 60):
        found = await judge_templates(Texts(0.0), LABELS, features, known)  # type: ignore[arg-type]
        assert found.name == "" and found.labels == LABELS and not any(one.believed for one in found.opinions)


async def test_a_template_that_is_surer_but_less_often_right_is_not_advised():
    features, truth = images(60)
    own = LabelSet(LABELS.names, (SKETCH,))
    wrong = [(label + 1) % 3 if place < 4 else label for place, label in enumerate(truth)]
    found = await judge_templates(Texts(1.5), own, features, wrong)  # type: ignore[arg-type]
    assert found.name == ""
