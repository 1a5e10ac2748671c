from __future__ import annotations

import pytest
import torch

from tta_service import Evidence, LabelSet, TextSpace
from tta_service.core.errors import Unsupported
from tta_service.core.memory import nbytes
from tta_service.maths import unit
from tta_service.strategies import catalogue
from tta_service.strategies.self_tpt import SelfTPT
from tta_service.testing import FakeCLIP

from .prompts64 import prompts_in_float64

NAMES = ("cat", "red_car", "photocopier", "great white shark", "tram")
SENTENCES = ("itap of a {}.", "a picture showing a {}.", "a close-up photo of a {}.")


def derive_prototypes(text: TextSpace, steps: int, rate: float, temperature: float) -> torch.Tensor:
    """The formula in float64, the cross-entropies written out."""
    context, encode = prompts_in_float64(text)
    fixed = [text.embed([s.replace("{}", n.replace("_", " ")) for n in text.labels.names]).double() for s in SENTENCES]
    moving = torch.nn.Parameter(context.clone())
    optimiser = torch.optim.Adam([moving], lr=rate)
    for _ in range(steps):
        features, losses = encode(moving), []
        for other in fixed:
            similar = features @ other.T / temperature
            losses += [-s.log_softmax(-1).diagonal().mean() for s in (similar, similar.T)]
        moving.grad = torch.autograd.grad(sum(losses) / 6, moving)[0]
        optimiser.step()
    return torch.nn.functional.normalize(encode(moving.detach()) + sum(fixed), dim=-1)


@pytest.mark.parametrize("templates", [("a photo of a {}.",), ("a {} photo of the.", "a drawing of a {}.")])
@pytest.mark.parametrize("steps, rate, temperature", [(10, 5e-3, 0.07), (1, 5e-2, 1.0), (0, 5e-3, 0.07)])
@pytest.mark.parametrize("classes", [2, 5])
def test_prototypes_equal_the_formula(classes, templates, steps, rate, temperature):
    names = NAMES[:classes] if classes <= len(NAMES) else tuple(f"thing number {i}" for i in range(classes))
    text = FakeCLIP().text_space(LabelSet(names, templates))
    memory = SelfTPT(steps, rate, temperature).begin(text)
    torch.testing.assert_close(
        memory.features.double(), derive_prototypes(text, steps, rate, temperature), atol=1e-4, rtol=0
    )
    seen = Evidence(unit(torch.randn(1, 64)), text)
    logits, same = SelfTPT().adapt(seen, memory)
    assert same is memory
    torch.testing.assert_close(logits, text.scale * memory.features @ seen.views[0])


def test_a_thousand_prototypes_equal_the_formula():
    test_prototypes_equal_the_formula(1000, ("a photo of a {}.",), 1, 5e-2, 0.07)


def test_tuning_lowers_the_contrast():
    text = FakeCLIP().text_space(LabelSet(NAMES))
    plain, taught = SelfTPT(steps=0).begin(text), SelfTPT(steps=10).begin(text)
    assert float((plain.features - taught.features).norm(dim=-1).min()) > 1e-3


def test_one_class_is_the_ensemble():
    text = FakeCLIP().text_space(LabelSet(("cat",)))
    assert torch.equal(SelfTPT().begin(text).features, SelfTPT(steps=0).begin(text).features)
    assert nbytes(SelfTPT().begin(text)) == 64 * 4


def test_a_space_without_a_text_tower_is_refused():
    with pytest.raises(Unsupported):
        SelfTPT().begin(TextSpace.of(torch.randn(3, 8)))


def test_the_summary_says_that_the_method_is_reduced():
    described = catalogue.describe("self_tpt")
    assert "reduced" in described.summary and [field.name for field in described.parameters] == [
        "steps",
        "learning_rate",
        "temperature",
    ]
