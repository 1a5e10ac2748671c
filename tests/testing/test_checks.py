"""The checks catch faulty plug-ins, and `FakeCLIP` has the interface of `FrozenCLIP`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, NamedTuple

import pytest
import torch
from annotated_types import Ge, Le
from torch import Tensor

from tta_service import LabelSet, Needs, Prompts, Scope, Stateless, Strategy
from tta_service.core.errors import BadLabels, BadParameters
from tta_service.core.reducer import Reduction
from tta_service.reducers.none import NoReduction
from tta_service.testing import FakeCLIP, check_reducer, check_strategy
from tta_service.testing import check_memory as remembering

reducing, answering = (import_module(f"tta_service.testing.{name}") for name in ("check_reducer", "check_strategy"))
LABELS = LabelSet(("cat", "dog", "red_car", "house plant"))


class Count(NamedTuple):
    frames: Tensor


class Counting(Strategy[Count]):
    """A correct strategy with a memory, which the faulty ones inherit from."""

    def needs(self):
        return Needs(memory=Scope.SESSION)

    def begin(self, text):
        return Count(torch.zeros(()))

    def adapt(self, seen, memory):
        memory.frames.add_(1)
        return seen.logits()[0] + memory.frames, memory


def test_a_correct_strategy_passes():
    for check in answering.STRATEGY_CHECKS[3:]:
        check(Counting)
    check_strategy("zero_shot")
    check_reducer("none")


class Forgetful(Counting):
    def begin(self, text):
        return None

    def adapt(self, seen, memory):
        return seen.logits()[0], None


class Growing(Counting):
    def adapt(self, seen, memory):
        return seen.logits()[0], Count(torch.zeros(memory.frames.numel() + 1))


class Secretive(Counting):
    total = 0

    def adapt(self, seen, memory):
        Secretive.total += 1
        return seen.logits()[0] + Secretive.total, memory


class Gambling(Stateless):
    def adapt(self, seen, memory):
        return seen.logits()[0] + torch.randn(()), None


class Scribbling(Stateless):
    def adapt(self, seen, memory):
        return seen.text.scale * seen.text.features @ seen.views.mul_(0.5)[0], None


class Lending(Counting):
    def begin(self, text):
        return Count(torch.zeros(len(text.features)))

    def adapt(self, seen, memory):
        return memory.frames.add_(seen.logits()[0]), memory


class Hasty(Counting):
    def predict(self, seen, memory):
        return seen.logits()[0], memory


class Undefined(Stateless):
    def adapt(self, seen, memory):
        return seen.logits()[1:].mean(0), None  # one view: the mean of nothing


class Undeclared(Stateless):
    def adapt(self, seen, memory):
        context = seen.text.prompts.context.clone().requires_grad_()
        loss = seen.logits(seen.text.prompts.encode(context)).sum()
        return seen.logits()[0] + torch.autograd.grad(loss, context)[0].sum(), None


class Clinging(Counting):
    def needs(self):
        return Needs(memory=Scope.SESSION, gradient=True)

    def adapt(self, seen, memory):
        context = seen.text.prompts.context.clone().requires_grad_()
        loss = seen.logits(seen.text.prompts.encode(context)).sum()
        return seen.logits()[0], Count(memory.frames + loss)


class Overasking(Stateless):
    def needs(self):
        return Needs(views=4, fewest=8)

    def adapt(self, seen, memory):
        return seen.logits()[0], None


class Boasting(Stateless):
    def adapt(self, seen, memory):
        return seen.logits()[0], None

    def explain(self, seen, memory):
        return {"weight": torch.ones(len(seen.views)) * 2}


class Rewriting(Counting):
    def needs(self):
        return Needs(memory=Scope.LABELS)


@dataclass(frozen=True)
class Unbounded(Stateless):
    push: float = 1.0

    def adapt(self, seen, memory):
        return seen.logits()[0], None


@dataclass(frozen=True)
class Outside(Unbounded):
    push: Annotated[float, Ge(2), Le(3)] = 1.0


@pytest.mark.parametrize(
    "check, faulty, message",
    [
        (remembering.memory_has_its_scope, Forgetful, "None"),
        (remembering.memory_has_its_scope, Rewriting, "LABELS is shared"),
        (remembering.memory_keeps_its_shapes, Growing, "shapes must follow"),
        (remembering.memory_keeps_its_shapes, Clinging, "detach"),
        (remembering.same_in_same_out, Secretive, "disturb each other"),
        (remembering.same_in_same_out, Gambling, "random numbers"),
        (remembering.snapshot_restores_the_next_answers, Secretive, "not in its tensors"),
        (remembering.adapt_is_predict_then_update, Hasty, "another answer"),
        (answering.evidence_stays_as_it_was, Scribbling, "changed the views"),
        (answering.answers_are_logits, Lending, "share storage"),
        (answering.answers_are_logits, Undefined, "NaN"),
        (answering.gradient_is_declared, Undeclared, "gradient=True"),
        (answering.needs_make_sense, Overasking, "fewest 8"),
        (answering.explanations_are_pure, Boasting, "sum to"),
        (answering.numbers_are_bounded, Unbounded, "annotate it"),
        (answering.numbers_are_bounded, Outside, "by default, outside"),
        (answering.is_in_the_catalogue, Counting, "register_"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_faulty_strategy_is_caught(check, faulty, message):
    with pytest.raises(AssertionError, match=message):
        check(faulty)


@dataclass(frozen=True)
class Halving(NoReduction):
    """Keeps the first half of the patches; correct."""

    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x[:, : prefix + (x.shape[1] - prefix + 1) // 2], None


class Choosy(Halving):
    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        kept = max(prefix + 1, int((x[0, :, 0] > 0).sum()))
        return (x if layer else x[:, :kept]), None


class Mingling(Halving):
    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return torch.cat([x[:, :prefix], x[:, prefix:] - x[:, prefix:].mean(0)], 1), None


class Shuffling(Halving):
    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x.flip(1), None


class Miscounting(Halving):
    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x, torch.full(x.shape[:2], 2.0)


class Widening(Halving):
    def reduce(self, layer, layers, x, sizes, q, k, prefix, guide):
        return x.float(), None


@pytest.mark.parametrize(
    "check, faulty, message",
    [
        (reducing.counts_follow_from_shapes, Choosy, "must not depend on content"),
        (reducing.rows_ignore_each_other, Mingling, "who shares its batch"),
        (reducing.prefix_tokens_stay, Shuffling, "in front"),
        (reducing.sizes_count_patches, Miscounting, "more patches"),
        (reducing.precision_stays, Widening, "float32"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_faulty_reducer_is_caught(check, faulty, message):
    check(Halving)
    with pytest.raises(AssertionError, match=message):
        check(faulty)


def pixels(rows: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (rows, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_rows_do_not_depend_on_their_batch():
    clip, images = FakeCLIP(), pixels(9)
    together = clip.encode_image(images)
    assert together.shape == (9, clip.dimension) and not together.is_inference()
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(9))
    for row in range(9):
        assert torch.equal(clip.encode_image(images[row : row + 1])[0], together[row])
    assert clip.encode_image(pixels(0)).shape == (0, clip.dimension)
    assert (together @ together.T - torch.eye(9)).abs().max() < 0.95, "different images, different rows"
    with pytest.raises(ValueError, match="pixels are"):
        clip.encode_image(torch.zeros(1, 3, 16, 16))


def test_the_same_seed_is_the_same_model():
    one, twin, other = FakeCLIP(), FakeCLIP(), FakeCLIP(seed=1)
    assert one.fingerprint == twin.fingerprint != other.fingerprint and len(one.fingerprint) == 32
    assert torch.equal(one.encode_image(pixels(1)), twin.encode_image(pixels(1)))
    assert torch.equal(one.text_space(LABELS).features, twin.text_space(LABELS).features)
    assert not torch.equal(one.encode_image(pixels(1)), other.encode_image(pixels(1)))


def test_a_reducer_acts_on_its_tokens():
    clip = FakeCLIP()
    assert torch.equal(clip.encode_image(pixels(2), Reduction(NoReduction())), clip.encode_image(pixels(2)))
    fewer = clip.encode_image(pixels(2), Reduction(Halving()))
    assert fewer.isfinite().all() and not torch.allclose(fewer, clip.encode_image(pixels(2)), atol=1e-3)


def test_names_and_prompts_go_through_the_same_map():
    text = FakeCLIP().text_space(LABELS)
    torch.testing.assert_close(text.features.norm(dim=-1), torch.ones(4))
    assert isinstance(text.prompts, Prompts) and text.prompts.context.shape == (4, 64)
    assert torch.equal(text.prompts.encode(text.prompts.context), text.features)
    torch.testing.assert_close(text.embed(["a photo of a red car."]), text.features[2:3])
    some = text.prompts.encode(text.prompts.context, torch.tensor([3, 0]))
    torch.testing.assert_close(some, text.features[[3, 0]])


@pytest.mark.parametrize("template", ["a photo of a {}.", "a {} photo of the.", "{} over there"])
def test_the_gradient_is_that_of_the_map(template):
    prompts = FakeCLIP().text_space(LabelSet(LABELS.names, (template,))).prompts
    pull = torch.randn(4, 64)
    gradient, step = prompts.gradient(pull), 1e-3
    for place in [(0, 0), (1, 5), (len(prompts.context) - 1, 63)]:
        ends = []
        for sign in (1, -1):
            context = prompts.context.double()
            context[place] += sign * step
            ends.append(float((prompts.encode(context.float()) * pull).sum()))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient[place]), rel=0.05, abs=0.1)


def test_several_templates_are_averaged_and_the_first_is_tuned():
    labels = LabelSet(LABELS.names, ("a photo of a {}.", "a drawing of the {}."))
    clip = FakeCLIP()
    text = clip.text_space(labels)
    each = [clip.text_space(LabelSet(LABELS.names, (template,))).features for template in labels.templates]
    torch.testing.assert_close(text.features, torch.nn.functional.normalize(each[0] + each[1], dim=-1))
    torch.testing.assert_close(text.prompts.encode(text.prompts.context), each[0])


def test_what_the_text_tower_cannot_hold_is_refused():
    clip = FakeCLIP()
    with pytest.raises(BadParameters, match="no words to tune"):
        _ = clip.text_space(LabelSet(LABELS.names, ("{}.",))).prompts.context
    with pytest.raises(BadLabels, match="76 words"):
        clip.text_space(LabelSet(("word " * 76,), ("{}",)))
