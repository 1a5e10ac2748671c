from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.nn.functional import normalize

from tests.clip.small import alike_threads, small, small_model, tokenizer
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.text.prompts import TemplatePrompts
from tta_service.core.errors import BadParameters
from tta_service.core.labels import LabelSet

NAMES = ("cat", "golden_retriever", "quokka", "St. Bernard", "sea snake, striped", "dog", "brush-tailed bettong")
TEMPLATES = {  # and its words before and behind the name
    "a photo of a {}.": ("a photo of a", ""),
    "a {} photo of the.": ("a", "photo of the"),
    "{} here on the table": ("", "here on the table"),
    "itap of a {}": ("itap of a", ""),
    "a photo of the quokkas: {}, a pet.": ("a photo of the quokkas:", ", a pet"),
    "A Photo of a {} . ": ("A Photo of a", ""),
}


@cache
def frozen():
    return small(text={"context_length": 24}), tokenizer(24)


def prompts_of(clip: FrozenCLIP, template: str, names=NAMES):
    space = clip.text_space(LabelSet(names, (template,)))
    assert isinstance(space.prompts, TemplatePrompts)
    return space, space.prompts


def gradient_by_hand(model, tokens, context_columns, d_features):
    """Autograd through open_clip's whole text tower, every prompt padded; columns [c][k] of the context words."""
    embedded = model.token_embedding(tokens).detach().requires_grad_()
    x = model.transformer(embedded + model.positional_embedding, attn_mask=model.attn_mask)
    x = model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)] @ model.text_projection
    (gradient,) = torch.autograd.grad(normalize(x, dim=-1), embedded, d_features)
    return sum(row[torch.tensor(columns)] for row, columns in zip(gradient, context_columns, strict=True))


def columns_of(tokens, template):
    """Where the context's words stand in each prompt, found word by word from either end."""
    before, behind = (len(tokenizer().encode(words)) for words in TEMPLATES[template])
    stop = len(tokenizer().encode(template.split("{}")[1])) - behind
    ends = tokens.argmax(-1).tolist()
    return [[*range(1, 1 + before), *range(end - stop - behind, end - stop)] for end in ends]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_context_is_the_words_of_the_template(template):
    clip, tokenize = frozen()
    _, prompts = prompts_of(clip, template)
    words = [word for text in TEMPLATES[template] for word in tokenize.encode(text)]
    assert torch.equal(prompts.context, clip.model.token_embedding.weight[torch.tensor(words)])


@pytest.mark.parametrize("template", TEMPLATES)
def test_at_the_initial_context_the_prompts_are_the_features(template):
    space, prompts = prompts_of(frozen()[0], template)
    torch.testing.assert_close(prompts.encode(prompts.context), space.features, rtol=0, atol=1e-6)
    some = torch.tensor([5, 0, 2])
    torch.testing.assert_close(prompts.encode(prompts.context, some), space.features[some], rtol=0, atol=1e-6)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("keep", [True, False])
def test_the_gradient_is_that_of_the_plain_tower(template, keep):
    clip, tokenize = frozen()
    _, prompts = prompts_of(clip, template)
    prompts = prompts if keep else forgetful(clip, template)
    tokens = tokenize(LabelSet(NAMES).prompts(template))
    d_features = torch.randn(len(NAMES), 24)
    expected = gradient_by_hand(clip.model, tokens, columns_of(tokens, template), d_features)
    for _ in range(2):  # the second time from the same activations
        assert (prompts.gradient(d_features) - expected).abs().max() <= 1e-5 * expected.abs().max()


def forgetful(clip, template) -> TemplatePrompts:
    labels = LabelSet(NAMES, (template,))
    tower, tokenize = clip.text_tower, clip.tokenize
    return TemplatePrompts(tower, tokenize, labels, tokenize(labels.prompts(template)), keep_bytes=0)


@pytest.mark.parametrize("template", TEMPLATES)
def test_encode_is_differentiable_where_the_context_has_moved(template):
    clip, tokenize = frozen()
    _, prompts = prompts_of(clip, template)
    tokens, d_features = tokenize(LabelSet(NAMES).prompts(template)), torch.randn(len(NAMES), 24)
    context = (prompts.context + 0.1 * torch.randn_like(prompts.context)).requires_grad_()
    (gradient,) = torch.autograd.grad(prompts.encode(context), context, d_features)

    weight, columns = clip.model.token_embedding.weight, columns_of(tokens, template)
    embedded = weight[tokens].clone()
    for row, places in enumerate(columns):
        embedded[row, torch.tensor(places)] = context.detach()
    embedded.requires_grad_()
    model = clip.model
    x = model.transformer(embedded + model.positional_embedding, attn_mask=model.attn_mask)
    x = normalize(model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)] @ model.text_projection, dim=-1)
    torch.testing.assert_close(prompts.encode(context.detach()), x.detach(), rtol=0, atol=1e-6)
    (by_hand,) = torch.autograd.grad(x, embedded, d_features)
    expected = sum(row[torch.tensor(places)] for row, places in zip(by_hand, columns, strict=True))
    assert (gradient - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_classes_without_weight_do_not_matter():
    clip, _ = frozen()
    _, prompts = prompts_of(clip, "a photo of a {}.")
    d_features = torch.randn(len(NAMES), 24)
    for kept in ([], [3], [0, 1, 2, 4, 5, 6]):
        some = torch.zeros_like(d_features)
        some[kept] = d_features[kept]
        context = prompts.context.clone().requires_grad_()
        (expected,) = torch.autograd.grad(prompts.encode(context), context, some)
        assert (prompts.gradient(some) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_prompts_first_touched_without_gradients_have_them():
    clip, _ = frozen()
    labels = LabelSet(NAMES)
    with torch.inference_mode():
        prompts = clip.text_space(labels).prompts
        assert prompts.encode(prompts.context).shape == (len(NAMES), 24)
    with torch.no_grad():
        assert prompts.gradient(torch.randn(len(NAMES), 24)).abs().sum() > 0


def test_threads_share_the_prompts():
    _, prompts = prompts_of(frozen()[0], "a photo of a {}.")
    asked = torch.randn(12, len(NAMES), 24)
    with alike_threads(4) as pool, alike_threads(1) as alone:
        gradients, expected = pool.map(prompts.gradient, asked), alone.map(prompts.gradient, asked)
        for gradient, one in zip(gradients, expected, strict=True):
            assert torch.equal(gradient, one)


def test_a_name_that_ends_in_a_full_stop():
    space, prompts = prompts_of(frozen()[0], "a photo of a {}.", ("St. Helena Univ.", "dog"))
    torch.testing.assert_close(prompts.encode(prompts.context), space.features, rtol=0, atol=1e-6)


@pytest.mark.parametrize("template", ["{}", "{}.", " {} . "])
def test_a_template_without_words_cannot_be_tuned(template):
    space = frozen()[0].text_space(LabelSet(NAMES, (template,)))
    with pytest.raises(BadParameters, match="no words to tune"):
        _ = space.prompts


@pytest.mark.parametrize("template", ["photo{}", "a {}s photo", "a {}-ish..."])
def test_words_that_run_into_the_name_are_refused(template):
    space = frozen()[0].text_space(LabelSet(("cat", "dog"), (template,)))
    with pytest.raises(BadParameters, match="runs into"):
        _ = space.prompts


def test_a_context_of_another_shape_is_refused():
    _, prompts = prompts_of(frozen()[0], "a photo of a {}.")
    with pytest.raises(ValueError, match="shape"):
        prompts.encode(prompts.context[:2])


@pytest.mark.parametrize("quick", [False, True])
def test_bytes_are_about_what_is_kept(quick):
    model = small_model(text={"context_length": 24, "width": 64, "heads": 2, "layers": 8}, quick_gelu=quick)
    clip = FrozenCLIP(model, tokenizer(24))
    _, prompts = prompts_of(clip, "a photo of a {}.", tuple(f"animal number {i} of the zoo" for i in range(200)))
    kept: dict[int, int] = {}

    def write_down(saved):
        kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    context = prompts.context.clone().requires_grad_()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(write_down, lambda saved: saved):
        prompts.encode(context)
    measured = sum(size for place, size in kept.items() if place not in weights)
    assert 0.7 < prompts.bytes / measured < 1.4
    assert prompts.kept_bytes == 0
    prompts.gradient(torch.ones_like(prompts.encode(prompts.context)))
    assert prompts.kept_bytes == measured
    prompts.forget()
    assert prompts.kept_bytes == 0
