from __future__ import annotations

import json
import pickle
import shutil
import socket
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from tests.clip.small import config, pixels, small, small_model
from tta_service.clip import CannotLoad
from tta_service.clip.load import load
from tta_service.clip.weights.checkpoint import expand_token_embedding
from tta_service.clip.weights.hub import is_reachable
from tta_service.core.labels import LabelSet


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """A hub that refuses connections and an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def write_model(folder: Path, name: str, custom: bool = False) -> Path:
    """A small model on disk with its configuration beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model, path = small_model(custom=custom), folder / name
    (folder / "open_clip_config.json").write_text(json.dumps(config()))
    if name.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    else:
        torch.save({"state_dict": model.state_dict()}, path)
    return path


def test_the_pocket_model_needs_neither_home_nor_network(monkeypatch, tmp_path):
    def no_network(*_):
        raise AssertionError("the bundled model asked for the network")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    clip = load(device="cpu")
    assert clip.name == "pocket" and clip.reducible and not list(tmp_path.iterdir())
    size = clip.image_size
    assert clip.encode_image(pixels(2, size)).shape == (2, clip.dimension)
    space = clip.text_space(LabelSet(("cat", "zxqvy", "blorptang", "knapsack")))
    assert space.unseen == ("zxqvy", "blorptang") and space.prompts.context.shape[0] == 4


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pt"])
def test_a_file_with_its_configuration_beside_it(tmp_path, name, custom):
    clip = load(checkpoint=str(write_model(tmp_path, name, custom)), device="cpu")
    assert clip.name == "mine"
    assert torch.equal(clip.encode_image(pixels()), small(custom=custom).encode_image(pixels()))
    image = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    assert torch.equal(clip.encode_image(image), small(custom=custom).encode_image(image))  # its own mean and deviation
    labels = LabelSet(("cat",))
    assert torch.equal(clip.text_space(labels).features, small(custom=custom).text_space(labels).features)


def test_missing_embedding_rows_become_the_mean():
    rows, values = torch.tensor([1, 4], dtype=torch.int32), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).half()
    state = {"text.token_embedding.rows": rows, "text.token_embedding.values": values, "other": torch.ones(1)}
    full = expand_token_embedding(state, 5)
    assert set(full) == {"text.token_embedding.weight", "other"} and len(state) == 3
    assert full["text.token_embedding.weight"].tolist() == [[2, 3], [1, 2], [2, 3], [2, 3], [3, 4]]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """An architecture that open_clip knows by name."""
    path = tmp_path_factory.mktemp("configs") / "tiny-for-tests.json"
    path.write_text(json.dumps(config()["model_cfg"]))
    open_clip.add_model_config(path)
    return path.stem


def test_a_file_of_a_known_architecture(tmp_path, known):
    weights = write_model(tmp_path / "elsewhere", "mine.safetensors").rename(tmp_path / "mine.safetensors")
    clip = load(known, checkpoint=str(weights), device="cpu")
    assert torch.equal(clip.encode_image(pixels()), small().encode_image(pixels()))
    with pytest.raises(CannotLoad, match=r"mine\.safetensors does not fit ViT-S-32-alt"):
        load("ViT-S-32-alt", checkpoint=str(weights), device="cpu")
    with pytest.raises(
        CannotLoad, match=r"put the open_clip_config\.json or model\.toml that describes mine\.safetensors"
    ) as refused:
        load(checkpoint=str(weights), device="cpu")
    assert refused.value.field == "checkpoint"


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_a_file_that_holds_no_weights(tmp_path, content):
    path = write_model(tmp_path, "mine.pt")
    path.write_bytes(content)
    with pytest.raises(CannotLoad, match=r"mine\.pt does not fit"):
        load(checkpoint=str(path), device="cpu")


def test_a_repository_in_the_cache_needs_no_hub(no_hub):
    snapshot = no_hub / "models--me--tiny" / "snapshots" / "abc"
    write_model(snapshot, "open_clip_model.safetensors")
    (no_hub / "models--me--tiny" / "refs").mkdir()
    (no_hub / "models--me--tiny" / "refs" / "main").write_text("abc")
    clip = load("hf-hub:me/tiny", device="cpu")
    assert torch.equal(clip.encode_image(pixels()), small().encode_image(pixels()))


@pytest.mark.parametrize(
    ("wrong", "sentence", "field"),
    [
        ({"name": "ViT-B-32", "pretrained": "openai"}, "127.0.0.1 does not answer.*--checkpoint", "model"),
        ({"name": "hf-hub:me/tiny"}, "does not answer", "model"),
        ({"name": "ViT-B-16-SigLIP", "pretrained": "webli"}, "does not answer", "model"),
        ({"name": "vit-b32"}, "knows no model 'vit-b32'; near to it: ViT-B-32", "model"),
        ({"name": "qqqqqqqq"}, "open_clip.list_models", "model"),
        ({"name": "ViT-B-32"}, "weights are missing: --pretrained may be openai", "pretrained"),
        ({"name": "ViT-B-32", "pretrained": "laion2b"}, "no weights called 'laion2b'.*laion2b_e16", "pretrained"),
        ({"checkpoint": "nowhere.pt"}, "no file nowhere.pt", "checkpoint"),
        ({"device": "abacus"}, "'abacus' cannot be used", "device"),
        ({"precision": "float3"}, "no precision 'float3', only float32", "precision"),
    ],
)
def test_the_error_of_loading_says_what_to_do(no_hub, wrong, sentence, field):
    with pytest.raises(CannotLoad, match=sentence) as refused:
        load(**{"device": "cpu", **wrong})
    assert refused.value.field == field


def test_reachable_is_true_for_an_open_port_only():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_reachable("127.0.0.1", port)
    assert not is_reachable("127.0.0.1", port)
    assert not is_reachable("no.such.host.invalid", 443, seconds=0.5)


def local(tmp_path: Path, name: str = "open_clip_model.safetensors") -> str:
    write_model(tmp_path / "tiny", name)
    return f"local-dir:{tmp_path / 'tiny'}"


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "epoch_3.pt"])
def test_a_local_folder_is_the_model_that_open_clip_finds_there(tmp_path, name):
    wanted = local(tmp_path, name)
    clip = load(wanted, device="cpu")
    assert clip.name == "tiny"
    assert torch.equal(clip.encode_image(pixels()), small().encode_image(pixels()))
    labels = LabelSet(("cat", "dog"))
    assert torch.equal(clip.text_space(labels).features, small().text_space(labels).features)
    if not name.endswith(".pt"):  # which open_clip does not look for
        theirs: Any = open_clip.create_model(wanted).eval()
        with torch.no_grad():
            features = theirs.encode_image(pixels(), normalize=True)
        assert torch.allclose(clip.encode_image(pixels()), features, atol=1e-5)


def test_the_error_names_what_a_local_folder_lacks(tmp_path):
    with pytest.raises(CannotLoad, match=r"there is no .*nowhere/open_clip_config\.json"):
        load(f"local-dir:{tmp_path}/nowhere", device="cpu")
    wanted = local(tmp_path)
    (tmp_path / "tiny" / "open_clip_model.safetensors").rename(tmp_path / "tiny" / "a.safetensors")
    assert load(wanted, device="cpu").name == "tiny"
    (tmp_path / "tiny" / "b.bin").write_bytes(b"")
    with pytest.raises(CannotLoad, match=r"2 files of weights \(a\.safetensors, b\.bin\); give one with --checkpoint"):
        load(wanted, device="cpu")
    assert load(wanted, checkpoint=str(tmp_path / "tiny" / "a.safetensors"), device="cpu").name == "a"
    (tmp_path / "tiny" / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 3}}')
    with pytest.raises(CannotLoad, match="describes no model: its model_cfg needs embed_dim, vision_cfg and text_cfg"):
        load(wanted, checkpoint=str(tmp_path / "tiny" / "a.safetensors"), device="cpu")


def test_a_name_beside_a_checkpoint_must_agree_with_its_configuration(tmp_path, known, monkeypatch):
    weights = write_model(tmp_path / "one", "mine.safetensors")
    assert load(known, checkpoint=str(weights), device="cpu").name == "mine"
    assert load(local(tmp_path), checkpoint=str(weights), device="cpu").name == "mine"
    for other in ("ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16-SigLIP"):
        with pytest.raises(CannotLoad, match=f"{other} is not what .*json beside mine.safetensors describes: .* is "):
            load(other, checkpoint=str(weights), device="cpu")
    with pytest.raises(CannotLoad, match="knows no model 'vit-b32'"):
        load("vit-b32", checkpoint=str(weights), device="cpu")


def tensors(path: Path) -> bytes:
    save_file({"weight": torch.ones(100)}, path)
    return path.read_bytes()


def save_object(path: Path, what: object) -> bytes:
    torch.save(what, path)
    return path.read_bytes()


def make_archive(path: Path, kind: str) -> bytes:
    (path.parent / "in").mkdir()
    (path.parent / "in" / "weights.bin").write_bytes(bytes(5000))
    return Path(shutil.make_archive(str(path), kind, path.parent / "in")).read_bytes()


def make_script(path: Path) -> bytes:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    return path.read_bytes()


class Odd:
    """An object that no file of weights contains."""


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n"
FOREIGN = [
    ("lfs.pt", lambda path: LFS, "Git LFS pointer"),
    ("lfs.safetensors", lambda path: LFS, "Git LFS pointer"),
    ("page.pt", lambda path: b"\n <!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
    ("page.safetensors", lambda path: b"\xef\xbb\xbf<HTML>" + b" " * 5000, "web page"),
    ("page.bin", lambda path: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
    ("empty.safetensors", lambda path: b"", "empty"),
    ("text.pt", lambda path: b'{"error": "Repository not found"}', "it is text"),
    ("text.safetensors", lambda path: "ein Türschild".encode(), "it is text"),
    ("cut.safetensors", lambda path: tensors(path)[:-9], "incomplete: .* bytes"),
    ("head.safetensors", lambda path: tensors(path)[:40], "incomplete"),
    ("odd.safetensors", lambda path: b"\x07" + bytes(7) + b"{rubbish", "damaged"),
    ("deep.safetensors", lambda path: (100_005).to_bytes(8, "little") + b'{"a":' + b"[" * 100_000, "damaged"),
    ("safe.pt", lambda path: tensors(path), "call it safe.safetensors"),
    (
        "torch.safetensors",
        lambda path: save_object(path, {"a": torch.ones(3)}),
        "not in the format that its name tells",
    ),
    ("cut.pt", lambda path: save_object(path, {"a": torch.ones(3000)})[:-4000], "damaged or incomplete"),
    ("zip.pt", lambda path: make_archive(path, "zip"), "ZIP archive of other things"),
    ("tar.pt", lambda path: make_archive(path, "tar"), "tar archive"),
    ("targz.pt", lambda path: make_archive(path, "gztar"), "packed .gzip."),
    ("picture.pt", lambda path: b"\x89PNG\r\n\x1a\n" + bytes(90), "a picture"),
    ("script.pt", make_script, "TorchScript"),
    ("objects.pt", lambda path: save_object(path, {"model": Odd()}), "more than tensors"),
    ("old.pt", lambda path: pickle.dumps({"model": Odd()}), "more than tensors"),
    ("noise.pt", lambda path: bytes(range(255, -1, -1)) * 9, "more than tensors or is damaged"),
    ("nothing.pt", lambda path: save_object(path, {}), "holds no tensors"),
]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(("name", "make", "message"), FOREIGN, ids=[name for name, _, _ in FOREIGN])
def test_a_file_of_another_kind_is_named(tmp_path, known, name, make, message, beside):
    path = tmp_path / name
    path.write_bytes(make(path))
    if beside:
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config()))
    with pytest.raises(CannotLoad, match=rf"{name} does not fit .*{message}") as refused:
        load(known, checkpoint=str(path), device="cpu")
    assert "weights_only" not in str(refused.value) and len(str(refused.value)) < 400


def test_a_folder_or_a_pointer_is_refused_without_a_name_too(tmp_path):
    with pytest.raises(CannotLoad, match="is a folder: name the file in it, or its model with --model local-dir:"):
        load(checkpoint=str(tmp_path), device="cpu")
    (tmp_path / "lfs.pt").write_bytes(LFS)
    with pytest.raises(CannotLoad, match="Git LFS pointer"):
        load(checkpoint=str(tmp_path / "lfs.pt"), device="cpu")
