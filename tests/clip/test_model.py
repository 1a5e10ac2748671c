from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import normalize

from tests.clip.reducers import Drop, MergePairs
from tests.clip.small import pixels, small, small_model, timm_visual, tokenizer
from tta_service.clip.encoder_config import EncoderConfig
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.text.tokenize import TrainedVocabulary
from tta_service.core.errors import BadLabels, Unsupported
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.reducers.none import NoReduction
from tta_service.reducers.text_guided import TextGuided

NAMES = ("cat", "golden_retriever", "quokka")
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64}
SIGLIP_TEXT = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}


def test_features_are_those_of_open_clip():
    clip = small()
    features = clip.encode_image(pixels())
    expected = clip.model.encode_image(pixels(), normalize=True)
    torch.testing.assert_close(features, expected.detach(), rtol=0, atol=1e-5)
    assert features.shape == (3, clip.dimension) == (3, 24) and clip.image_size == 32
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))


def test_bytes_are_normalised_by_the_models_mean_and_deviation():
    clip = small()
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(x)[:, None, None] for x in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    by_hand = (image / 255 - mean) / std
    torch.testing.assert_close(clip.encode_image(image), clip.encode_image(by_hand), rtol=0, atol=1e-6)


def test_nothing_learns_and_nothing_is_an_inference_tensor():
    clip = small()
    assert not any(p.requires_grad for p in clip.model.parameters()) and not clip.model.training
    space = clip.text_space(LabelSet(NAMES))
    for features in (clip.encode_image(pixels()), space.features, space.embed(["dog"])):
        assert not features.requires_grad and not features.is_inference()
        weight = torch.ones(24, requires_grad=True)
        (features * weight).sum().backward()  # what a gradient strategy does


@pytest.mark.parametrize("reducer", [NoReduction(), Drop(), MergePairs()], ids=str)
def test_a_reduction_reaches_the_tower(reducer):
    clip = small()
    clip.check_reducer(reducer)
    reduced = clip.encode_image(pixels(), Reduction(reducer))
    assert torch.equal(reduced, clip.encode_image(pixels())) == (reducer.name == "none")
    torch.testing.assert_close(reduced.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("vision", [RESNET, {"attentional_pool": True, "attn_pooler_heads": 2}])
def test_towers_that_cannot_be_taken_apart_run_whole_and_refuse_reducers(vision):
    clip = small(vision)
    assert not clip.reducible
    image = pixels(2, clip.image_size)
    expected = clip.model.encode_image(image, normalize=True)
    clip.check_reducer(NoReduction())
    torch.testing.assert_close(clip.encode_image(image, Reduction(NoReduction())), clip.encode_image(image))
    torch.testing.assert_close(clip.encode_image(image), expected, rtol=0, atol=1e-6)
    for refuse in (lambda: clip.check_reducer(Drop()), lambda: clip.encode_image(image, Reduction(Drop()))):
        with pytest.raises(Unsupported, match="cannot reduce tokens") as refused:
            refuse()
        assert refused.value.field == "options.reduction.reducer.name"


@pytest.mark.parametrize("parts", [{}, {"text": SIGLIP_TEXT, "custom": True}], ids=["causal", "not causal"])
def test_a_text_space_is_the_mean_over_templates(parts):
    clip, templates = small(**parts), ("a photo of a {}.", "{}", "the {} in the sea")
    space = clip.text_space(LabelSet(NAMES, templates))
    filled = [[t.replace("{}", n.replace("_", " ")) for n in NAMES] for t in templates]
    each = torch.stack([clip.model.encode_text(tokenizer()(texts), normalize=True) for texts in filled])
    torch.testing.assert_close(space.features, normalize(each.mean(0), dim=-1).detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(space.embed(filled[2]), each[2].detach(), rtol=0, atol=1e-6)
    assert space.scale == pytest.approx(clip.model.logit_scale.exp().item()) and space.unseen == ()


def test_a_tower_that_is_not_causal_offers_no_prompts():
    with pytest.raises(Unsupported, match="no prompt gradients"):
        _ = small(text=SIGLIP_TEXT, custom=True).text_space(LabelSet(NAMES)).prompts


def test_a_prompt_that_does_not_fit_names_its_label():
    labels = LabelSet(("cat", "dog " * 30), ("{}", "a photo of a {}."))
    with pytest.raises(BadLabels, match=r"label 1 .* 32 tokens") as refused:
        small().text_space(labels)
    assert refused.value.field == "names[1]"


def test_names_without_a_trained_word_are_unseen():
    trained = TrainedVocabulary(frozenset(tokenizer().encode("cat dog sea")))
    clip = FrozenCLIP(small_model(), tokenizer(), vocabulary=trained)
    assert clip.text_space(LabelSet(("cat", "sea_dog", "sea snake", "quokka"))).unseen == ("quokka",)


def test_the_fingerprint_is_of_weights_and_architecture():
    model = small_model()
    mine = FrozenCLIP(copy.deepcopy(model), tokenizer(), name="mine")
    assert mine.fingerprint == FrozenCLIP(copy.deepcopy(model), tokenizer(), name="other").fingerprint
    assert len(mine.fingerprint) == 32 and int(mine.fingerprint, 16) >= 0
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.visual.proj[0, 0] += 1e-3
    quick, halves = small_model(quick_gelu=True), small_model({"head_width": 8})
    prints = {FrozenCLIP(changed, tokenizer()).fingerprint for changed in (other, quick, halves)}
    prints.add(FrozenCLIP(copy.deepcopy(model), tokenizer(), config=EncoderConfig("bfloat16")).fingerprint)
    assert len(prints | {mine.fingerprint}) == 5


def test_half_precision_is_near():
    near = small_model()
    half, whole = (
        FrozenCLIP(copy.deepcopy(near), tokenizer(), config=EncoderConfig("bfloat16")),
        FrozenCLIP(near, tokenizer()),
    )
    features = half.encode_image(pixels())
    assert features.dtype == torch.float32
    assert (features * whole.encode_image(pixels())).sum(-1).min() > 0.999
    reduced = half.encode_image(pixels(), Reduction(MergePairs()))
    assert (reduced * whole.encode_image(pixels(), Reduction(MergePairs()))).sum(-1).min() > 0.999
    assert torch.equal(half.text_space(LabelSet(NAMES)).features, whole.text_space(LabelSet(NAMES)).features)


def test_only_square_pictures_are_served():
    with pytest.raises(Unsupported, match="32x16"):
        FrozenCLIP(small_model({"image_size": (32, 16)}), tokenizer())


def test_a_tower_that_pools_by_attention_cannot_compare_patches_with_text():
    model = small_model(custom=True)
    model.visual = timm_visual(global_pool="map", class_token=False)
    clip = FrozenCLIP(model, tokenizer(), name="mine")
    clip.check_reducer(Drop())
    with pytest.raises(Unsupported, match="mine cannot compare patches with text"):
        clip.encode_image(pixels(), Reduction(TextGuided()), torch.randn(3, 24))


def test_a_guide_reaches_the_reducer():
    clip, guide = small(), torch.eye(24)[:3]
    whole = clip.encode_image(pixels())
    one, other = (clip.encode_image(pixels(), Reduction(TextGuided(keep=0.4)), g) for g in (guide, torch.eye(24)[5:8]))
    assert not torch.equal(one, other) and not torch.equal(one, whole)


def test_tokens_left_are_counted_behind_each_block():
    clip = small()
    assert clip.tokens_left(NoReduction()) == (16, 16, 16, 16)
    assert clip.tokens_left(Drop(at=1, count=5)) == (16, 11, 11, 11)
    assert clip.tokens_left(TextGuided(keep=0.5)) == (8, 4, 2, 2)
    assert small(RESNET).tokens_left(NoReduction()) == ()
