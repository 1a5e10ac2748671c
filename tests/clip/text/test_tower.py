from __future__ import annotations

import pytest
import torch

from tests.clip.small import small_model, tokenizer
from tta_service.clip.text.tower import TextTower, encode_tokens, take_text_apart

TEXTS = [
    "a photo of a cat.",
    "cat",
    "",
    "a photo of a great_white shark in the sea!",
    "cat",
    "a photo of a quokka.",
    "Ünï ☃",
]
CAUSAL = {
    "plain": {},
    "custom": {"custom": True},
    "quick": {"quick_gelu": True},
    "layer scale": {"text": {"ls_init_value": 0.2}},
    "end by id": {"text": {"pool_type": "eos", "eos_id": 49407}, "custom": True},
    "biased projection": {"text": {"proj_bias": True}, "custom": True},
}


def tower_of(model) -> TextTower:
    tower = take_text_apart(model)
    assert tower is not None
    return tower


@pytest.mark.parametrize("kind", CAUSAL)
@torch.no_grad()
def test_is_the_towers_own_forward(kind):
    model = small_model(**CAUSAL[kind]).eval()
    tokens = tokenizer()(TEXTS)
    expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(encode_tokens(tower_of(model), tokens), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("most", [1, 12, 40])
@torch.no_grad()
def test_neither_chunks_nor_company_change_a_text(most):
    tower, tokens = tower_of(small_model().eval()), tokenizer()(TEXTS)
    torch.testing.assert_close(encode_tokens(tower, tokens, most), encode_tokens(tower, tokens), rtol=0, atol=1e-6)


@torch.no_grad()
def test_one_text_and_equal_texts():
    model = small_model().eval()
    for texts in (["dog"], ["dog"] * 3):
        tokens = tokenizer()(texts)
        expected = model.encode_text(tokens, normalize=True)
        torch.testing.assert_close(encode_tokens(tower_of(model), tokens), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_text_that_fills_the_context():
    model = small_model().eval()
    tokens = tokenizer()([" ".join(["cat"] * 18), "cat"])
    assert tower_of(model).lengths(tokens).tolist() == [20, 3]
    expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(encode_tokens(tower_of(model), tokens), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [{"no_causal_mask": True}, {"no_causal_mask": True, "pool_type": "last"}, {"embed_cls": True}, {"qk_norm": True}],
)
def test_towers_where_the_shortcuts_are_wrong_stay_whole(text):
    assert take_text_apart(small_model(text=text, custom=True)) is None
