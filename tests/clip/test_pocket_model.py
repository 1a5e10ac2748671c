"""The bundled model: its size, its shape, and that words of no training picture are near their classes."""

from importlib.resources import files

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file

from tta_service.clip import pocket
from tta_service.clip.load import load
from tta_service.core.labels import LabelSet

FOLDER = files(pocket)
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def clip():
    return load("pocket", device="cpu")


@pytest.fixture(scope="module")
def stored():
    return load_file(str(FOLDER / "pocket.safetensors"))


def test_the_file_fits_its_limits(stored):
    assert len((FOLDER / "pocket.safetensors").read_bytes()) <= 16e6
    embedding = {key for key in stored if key.startswith("text.token_embedding")}
    assert sum(x.numel() for key, x in stored.items() if key not in embedding) <= 8e6
    assert {x.dtype for x in stored.values() if x.is_floating_point()} == {torch.float16}


def test_the_token_rows_are_sorted_and_hold_start_end_and_padding(stored):
    rows = stored["text.token_embedding.rows"]
    assert (rows.diff() > 0).all() and len(rows) == len(stored["text.token_embedding.values"])
    assert {0, 49406, 49407} <= set(rows.tolist())


def test_the_tower_has_a_class_token_and_64_patches():
    tower = timm.create_model("vit_pocket_64", num_classes=256).eval()
    assert tower.num_prefix_tokens == 1
    tokens = tower._pos_embed(tower.patch_embed(torch.zeros(2, 3, 64, 64)))
    assert tokens.shape == (2, 65, 192)


def test_the_same_weights_read_pictures_of_other_sizes():
    fixed = timm.create_model("vit_pocket_64", num_classes=8).eval()
    free = timm.create_model("vit_pocket_64", num_classes=8, sizes=True).eval()
    free.load_state_dict(fixed.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    assert torch.equal(fixed(pixels), free(pixels))
    assert free(pixels[..., :32, :32]).shape == (2, 8)


def test_our_forward_is_open_clips_own(clip):
    pixels = torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        plain = clip.model.encode_image(pixels, normalize=True)
        text = clip.model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["a photo of a dog."], context_length=16))
    torch.testing.assert_close(clip.encode_image(pixels), plain, rtol=0, atol=1e-5)
    ours = clip.text_space(LabelSet(("dog",))).features
    torch.testing.assert_close(ours, torch.nn.functional.normalize(text, dim=-1), rtol=0, atol=1e-5)


def test_features_are_finite_and_of_unit_norm(clip):
    features = clip.encode_image(torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8))
    assert features.norm(dim=-1) == pytest.approx(torch.ones(3), abs=1e-5)


@pytest.mark.parametrize(("word", "name"), [("puppy", "dog"), ("kitten", "cat"), ("boat", "ship"), ("sparrow", "bird")])
def test_a_word_of_no_picture_is_nearest_its_own_class(clip, word, name):
    space = clip.text_space(LabelSet((word,)))
    assert space.unseen == ()
    nearest = (clip.text_space(LabelSet(CIFAR)).features @ space.features[0]).argmax()
    assert CIFAR[nearest] == name


def test_an_untrained_word_is_unseen(clip):
    assert clip.text_space(LabelSet(("dog", "zyzzyvaxq"))).unseen == ("zyzzyvaxq",)
