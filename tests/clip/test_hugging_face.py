"""Models in the layout of transformers: the features that transformers itself computed, by every way to name one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from tests.clip.hugging_face import KINDS, compute, draw, features, tokens, write_folder
from tests.clip.small import pixels
from tta_service.clip import CannotLoad
from tta_service.clip.image.vit_adapters import take_apart
from tta_service.clip.load import load
from tta_service.clip.weights.checkpoint import load_model
from tta_service.clip.weights.renaming import PARTS, convert
from tta_service.core.labels import LabelSet


def assert_near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=2e-6), (ours - theirs).abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_transformers(tmp_path: Path, kind: str):
    if KINDS[kind].get("vocab_size"):
        (tmp_path / "tokenizer.json").write_text("{}")  # of words that are not CLIP's own; it is not read here
    folder = write_folder(kind, tmp_path)
    model, config, _ = load_model(folder / "config.json", folder / "model.safetensors")
    images, texts = features(kind)
    with torch.no_grad():
        assert_near(model.eval().encode_image(pixels(), normalize=True), images)
        assert_near(model.encode_text(tokens(kind), normalize=True), texts)
    assert not isinstance(take_apart(model.visual), str)  # token reduction, int8 and the runtimes work
    assert config["preprocess_cfg"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


HOW = ["folder", *(pytest.param(how, marks=pytest.mark.slow) for how in ("beside", "named", "hub"))]


@pytest.mark.parametrize("how", HOW)
def test_a_model_of_transformers_is_loaded_however_it_is_named(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "models--me--mine"
    folder = write_folder("openai", cache / "snapshots" / "mine")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("mine")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    given: dict[str, Any] = {
        "folder": {"name": f"local-dir:{folder}"},
        "beside": {"checkpoint": str(folder / "model.safetensors")},
        "named": {"config": str(folder / "config.json")},
        "hub": {"name": "hf-hub:me/mine"},
    }[how]
    clip = load(**given, device="cpu")
    images, texts = features("openai")
    assert_near(clip.encode_image(pixels()), images)
    assert_near(clip.text_space(LabelSet(("cat", "dog"))).features, texts)
    dark = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    normalised = -torch.tensor([0.5, 0.4, 0.3]) / torch.tensor([0.2, 0.3, 0.4])  # with its own mean and deviation
    assert_near(clip.encode_image(dark), clip.encode_image(dark + normalised[:, None, None]))


def change(folder: Path, **parts: Any) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for name, value in parts.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"vision_config": {"hidden_act": "gelu"}}, "its towers have the activations gelu and quick_gelu"),
        ({"vision_config": {"hidden_act": "mish"}, "text_config": {"hidden_act": "mish"}}, "its activation is mish"),
        ({"text_config": {"vocab_size": 300}}, "vocabulary has 300 words, and there is no tokenizer.json beside it"),
        ({"model_type": "siglip2"}, "its model_type is siglip2; of transformers' models clip and siglip are read"),
        ({"vision_config": {"num_attention_heads": "two"}}, "describes no model"),
        ({"vision_config": "x"}, "its vision_config is 'x', no table"),
        (
            {"vision_config": {"num_attention_heads": 0}},
            "vision_config.num_attention_heads is 0, no whole number above",
        ),
        ({"vision_config": {"num_attention_heads": 3}}, "vision_config.hidden_size is 32, no multiple of its num_att"),
        ({"vision_config": {"hidden_size": None}}, "vision_config.hidden_size is None, no whole number above 0"),
        ({"vision_config": {"patch_size": 8.0}}, r"vision_config.patch_size is 8\.0, no whole number above 0"),
        ({"vision_config": {"layer_norm_eps": "x"}}, "vision_config.layer_norm_eps is 'x', no number above 0"),
        ({"text_config": {"layer_norm_eps": -1}}, "text_config.layer_norm_eps is -1, no number above 0"),
        ({"text_config": {"layer_norm_eps": float("nan")}}, "text_config.layer_norm_eps is nan, no number above 0"),
        ({"text_config": {"vocab_size": "49408"}}, "text_config.vocab_size is '49408', no whole number above 0"),
        ({"text_config": {"eos_token_id": {}}}, "text_config.eos_token_id is {}, no word of its 49408"),
        ({"text_config": {"eos_token_id": 49408}}, "text_config.eos_token_id is 49408, no word of its 49408"),
        ({"projection_dim": "16"}, "its projection_dim is '16', no whole number above 0"),
        ({"projection_dim": True}, "its projection_dim is True, no whole number above 0"),
        ({"vision_config": {"num_hidden_layers": 3}}, r"model\.safetensors does not fit .*config\.json"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, parts: dict[str, Any], sentence: str):
    folder = write_folder("openai", tmp_path)
    change(folder, **parts)
    with pytest.raises(CannotLoad, match=sentence):
        load(config=str(folder / "config.json"), device="cpu")


def test_a_folder_of_another_model_of_transformers_is_told_from_an_empty_one(tmp_path: Path):
    with pytest.raises(CannotLoad, match=r"nor a model\.toml$"):
        load(f"local-dir:{tmp_path}", device="cpu")
    wrong = '{"model_type": "bert"}', '{"model_type": ["clip"]}', '{"model_type": {}}', "[]", "{", "[" * 100_000
    for content in wrong:
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(CannotLoad, match=r"its config\.json is of no CLIP or SigLIP of transformers"):
            load(f"local-dir:{tmp_path}", device="cpu")


def test_another_model_of_transformers_is_named_however_it_is_given(tmp_path: Path):
    folder = write_folder("openai", tmp_path)
    change(folder, model_type="siglip2")
    ways: tuple[dict[str, Any], ...] = (
        {"name": f"local-dir:{folder}"},
        {"checkpoint": str(folder / "model.safetensors")},
    )
    for given in ways:
        with pytest.raises(CannotLoad, match=r"no CLIP or SigLIP of transformers: it says siglip2$"):
            load(**given, device="cpu")


@pytest.mark.parametrize("kind", ["openai", "siglip"])
def test_a_missing_weight_is_told_by_the_name_that_the_file_would_have(tmp_path: Path, kind: str):
    state = load_file(write_folder(kind, tmp_path) / "model.safetensors")
    told = set[str]()
    for name in state:
        try:
            convert({key: value for key, value in state.items() if key != name})
        except ValueError as error:
            assert str(error) == f"it has no {name}"
            told.add(name)
    joined = {name for name in state if any(f".{part}_proj." in name for part in "qkv")}
    assert told == joined | set(PARTS[kind == "siglip"])


def test_weights_in_parts_are_told_from_a_choice_of_weights(tmp_path: Path):
    folder = write_folder("openai", tmp_path)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    load(f"local-dir:{folder}", device="cpu")
    (folder / "model-00001-of-00001.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    ways: tuple[dict[str, Any], ...] = (
        {"name": f"local-dir:{folder}"},
        {"checkpoint": str(folder / "model-00001-of-00002.safetensors")},
    )
    for given in ways:
        with pytest.raises(CannotLoad, match=r"model-00001-of-00002.safetensors .* it is one part of several; save"):
            load(**given, device="cpu")


def test_a_model_without_a_look_of_its_own_says_so_in_terms_of_transformers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = write_folder("openai", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    load(f"local-dir:{folder}", device="cpu")
    assert "config.json has no preprocessor_config.json beside it with image_mean and image_std: " in caplog.text


@pytest.mark.parametrize(
    "look",
    [
        {"image_mean": [0.5, 0.5]},
        {"image_mean": "abc"},
        {"image_mean": 0.5},
        {"image_mean": [float("nan"), 0, 0]},
        {"image_std": [0, 0, 0]},
        {"image_std": ["a", 1, 1]},
    ],
)
def test_a_look_that_no_picture_can_have_is_refused_before_there_is_one(tmp_path: Path, look: dict[str, object]):
    from tta_service.clip.weights.config import read_model_config

    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(look))
    (name,) = look
    with pytest.raises(CannotLoad, match=rf"{name.removeprefix('image_')} of its preprocess_cfg is no list of three"):
        read_model_config(tmp_path / "config.json")


@pytest.mark.parametrize("content", [b"{", b"[1]", "{}".encode("utf-16"), b"[" * 100_000])
def test_a_damaged_list_of_means_is_told_by_its_name(tmp_path: Path, content: bytes):
    from tta_service.clip.weights.config import read_model_config

    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "preprocessor_config.json").write_bytes(content)
    with pytest.raises(CannotLoad, match=r"^preprocessor_config\.json cannot be read: "):
        read_model_config(tmp_path / "config.json")


def test_a_configuration_may_leave_out_what_is_usual(tmp_path: Path):
    """Published ones do: those of SigLIP say little more than that it is one."""
    from tta_service.clip.weights.config import read_model_config

    (tmp_path / "config.json").write_text('{"model_type": "siglip", "text_config": {}, "vision_config": null}')
    described = read_model_config(tmp_path / "config.json")
    model = described["model_cfg"]
    assert described["preprocess_cfg"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert model["embed_dim"] == 768 and model["text_cfg"]["hf_tokenizer_name"] == "timm/ViT-B-16-SigLIP"
    assert (
        model["text_cfg"]["context_length"] == 64 and "siglip_224_16_768_12" in model["vision_cfg"]["timm_model_name"]
    )
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    described = read_model_config(tmp_path / "config.json")
    assert described["preprocess_cfg"] == {} and described["model_cfg"]["quick_gelu"]
    assert described["model_cfg"]["vision_cfg"]["patch_size"] == 32 and described["model_cfg"]["embed_dim"] == 512


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_features_are_what_transformers_computes(kind: str):
    pytest.importorskip("transformers")
    told = compute(kind)
    for ours, theirs in zip((told["images"], told["texts"]), features(kind), strict=True):
        assert_near(torch.tensor(ours), theirs)
    assert draw(told["shapes"]).keys() == told["shapes"].keys()
