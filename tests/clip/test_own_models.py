"""Models of one's own: configurations in three forms, code that registers towers or builds a model, and names."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from tests.clip.small import config, pixels, small, small_model
from tta_service.clip import CannotLoad
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet
from tta_service.settings import BadSettings, make


def weights(folder: Path, model: Any = None) -> str:
    path = folder / "mine.safetensors"
    save_file({key: value.contiguous() for key, value in (model or small_model()).state_dict().items()}, path)
    return str(path)


def toml(table: dict[str, Any], name: str = "") -> str:
    """The table in TOML, whose values are written as in JSON where they are no tables."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    parts = [toml(value, f"{name}.{key}" if name else key) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([f"[{name}]" if name else "", *lines, *parts])


def assert_is_the_small_model(clip: FrozenCLIP) -> None:
    image = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)  # its own mean and deviation
    assert torch.equal(clip.encode_image(image), small().encode_image(image))
    labels = LabelSet(("cat", "dog"))
    assert torch.equal(clip.text_space(labels).features, small().text_space(labels).features)


HOW = ["named", *(pytest.param(how, marks=pytest.mark.slow) for how in ("beside", "folder", "named alone"))]


@pytest.mark.parametrize("how", HOW)
def test_a_model_toml_says_what_the_json_says(tmp_path: Path, how: str):
    path, described = weights(tmp_path), tmp_path / ("other.toml" if "named" in how else "model.toml")
    described.write_text(toml(config()))
    given: dict[str, Any] = {
        "beside": {"checkpoint": path},
        "folder": {"name": f"local-dir:{tmp_path}"},
        "named": {"checkpoint": path, "config": str(described)},
        "named alone": {"config": str(described)},
    }[how]
    assert_is_the_small_model(load(**given, device="cpu"))


@pytest.mark.slow
def test_a_plain_model_file_of_open_clip_describes_weights_and_what_it_does_not_say_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    described = tmp_path / "tiny.json"
    described.write_text(json.dumps(config()["model_cfg"]))
    with caplog.at_level(logging.WARNING):
        clip = load(checkpoint=weights(tmp_path), config=str(described), device="cpu")
    assert torch.equal(
        clip.encode_image(pixels()), small().encode_image(pixels())
    )  # pixels that are normalised already
    assert f"{described} has no preprocess_cfg with mean and std" in caplog.text
    caplog.clear()
    described.write_text(json.dumps(config()["model_cfg"] | {"preprocess_cfg": config()["preprocess_cfg"]}))
    assert_is_the_small_model(load(checkpoint=weights(tmp_path), config=str(described), device="cpu"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "is not a table"),
        ('{"embed_dim": 24}', "needs embed_dim, vision_cfg and text_cfg"),
        ('{"model_cfg": 3}', "needs embed_dim, vision_cfg and text_cfg"),
        (json.dumps({**config(), "preprocess_cfg": 3}), "preprocess_cfg is no table"),
        (json.dumps({**config(), "preprocess_cfg": {"means": [1, 2, 3]}}), "means"),
        ("{", "describes no model"),
    ],
)
def test_a_configuration_that_describes_nothing_is_refused(tmp_path: Path, content: str, sentence: str):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(CannotLoad, match=sentence) as refused:
        load(checkpoint=weights(tmp_path), config=str(tmp_path / "mine.json"), device="cpu")
    assert "mine.json" in str(refused.value) and refused.value.field == "config"


def test_a_configuration_or_its_weights_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(CannotLoad, match=r"there is no file .*nowhere\.json") as refused:
        load(config=str(tmp_path / "nowhere.json"), device="cpu")
    assert refused.value.field == "config"
    with pytest.raises(CannotLoad, match=r"there is no file .*nowhere\.json"):
        load(checkpoint=weights(tmp_path), config=str(tmp_path / "nowhere.json"), device="cpu")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "model.toml").write_text(toml(config()))
    with pytest.raises(CannotLoad, match="holds no weights; give one with --checkpoint"):
        load(config=str(tmp_path / "alone" / "model.toml"), device="cpu")


def test_another_name_must_agree_with_the_configuration_that_is_given(tmp_path: Path):
    (tmp_path / "mine.json").write_text(json.dumps(config()))
    with pytest.raises(CannotLoad, match=r"ViT-B-32 is not what .*mine\.json describes: .*; leave the name out"):
        load("ViT-B-32", checkpoint=weights(tmp_path), config=str(tmp_path / "mine.json"), device="cpu")


def with_tokenizer(tmp_path: Path) -> str:
    described = config()
    described["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "me/words"
    (tmp_path / "model.toml").write_text(toml(described))
    return weights(tmp_path)


def test_a_tokenizer_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = with_tokenizer(tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        CannotLoad, match=r"the tokenizer of .*model\.toml is not in the local cache and 127.0.0.1"
    ) as it:
        load(checkpoint=path, device="cpu")
    assert it.value.field == "model"


def test_a_tokenizer_beside_the_configuration_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = with_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)  # it is not installed
    with pytest.raises(CannotLoad, match=r"cannot load the tokenizer of .*model\.toml: .*transformers"):
        load(checkpoint=path, device="cpu")


TOWER = """
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer


@register_model
def vit_registered(pretrained=False, **options):
    for unused in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        options.pop(unused, None)
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, **options)


def register():
    pass
"""


def test_a_plug_in_registers_a_tower_that_a_configuration_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "towers_registered.py").write_text(TOWER)
    monkeypatch.chdir(tmp_path)
    vision = {"image_size": 32, "timm_model_name": "vit_registered", "timm_pool": "token", "timm_proj": ""}
    described = config()
    described["model_cfg"]["vision_cfg"] = vision
    (tmp_path / "model.toml").write_text(toml(described))
    with pytest.raises(CannotLoad, match="registered"):
        load(checkpoint=weights(tmp_path), device="cpu")
    import tta_service.clip.plugin as plugin
    from tta_service.clip.weights.checkpoint import build_model

    assert plugin.run_plugin("towers_registered:register") is None
    path = weights(tmp_path, build_model(described, True))
    clip = load(checkpoint=path, plugin="towers_registered:register", device="cpu")
    assert clip.reducible and clip.encode_image(pixels()).shape == (3, 24)


def test_a_plug_in_builds_a_model_and_its_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "towers_built.py").write_text(
        "import torch\nfrom tests.clip.small import shake, small_model, tokenizer\n\n\n"
        "def build():\n    model = small_model()\n    torch.nn.init.zeros_(model.visual.proj)\n"
        "    return model, tokenizer()\n"
    )
    monkeypatch.chdir(tmp_path)
    clip = load(plugin="towers_built:build", checkpoint=weights(tmp_path), served_name="door clip", device="cpu")
    assert torch.equal(clip.encode_image(pixels()), small().encode_image(pixels()))
    assert clip.name == "door clip"
    assert load(plugin="towers_built:build", device="cpu").name == "towers_built"


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        ("towers", "write the plug-in as MODULE:FUNCTION"),
        (":build", "write the plug-in as MODULE:FUNCTION"),
        ("no_such_module_here:build", "failed: .*No module named 'no_such_module_here'"),
        ("towers_wrong:absent", "failed: .*absent"),
        ("towers_wrong:raises", "failed: .*no tower today"),
        ("towers_wrong:number", "returns neither None nor a model and its tokenizer"),
        ("towers_wrong:other", "model of the plug-in .* lacks visual, encode_image, encode_text, logit_scale"),
    ],
)
def test_a_plug_in_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, sentence: str):
    (tmp_path / "towers_wrong.py").write_text(
        "import torch\n\n\ndef raises():\n    raise KeyError('no tower today')\n\n\ndef number():\n    return 3\n\n\n"
        "def other():\n    return torch.nn.Linear(2, 2), print\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotLoad, match=sentence) as refused:
        load(plugin=plugin, device="cpu")
    assert refused.value.field == "plugin"


def test_a_name_is_one_line():
    with pytest.raises(BadSettings, match=r"model\.served_name"):
        make({"model.served_name": "two\nlines"})
