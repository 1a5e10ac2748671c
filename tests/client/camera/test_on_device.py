"""Embeddings made on the camera's machine: no pixel leaves it, and the answers are those of the pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tta_client import Choice, Client, Frame, FrameAnswer, Options, Statistics
from tta_client.camera.cli import main
from tta_client.camera.on_device import Encoder, Model, encode_frames
from tta_client.v1 import tta_pb2 as pb

from tests.client.clips import jpeg
from tests.client.peer import Peer, served

NAMES = ("cat", "flower", "temple", "coffee cup")


def picture(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return jpeg(coarse.repeat(40, 0).repeat(40, 1))


@pytest.fixture(scope="module")
def encoder(service: str) -> Encoder:
    with Client(service) as client:
        return Encoder(Model(), client.info())


@pytest.mark.parametrize("strategy", ["zero_shot", "mta", "tda"])
def test_the_answers_are_those_of_the_pixels(service: str, encoder: Encoder, strategy: str) -> None:
    options = Options(Choice(strategy, {} if strategy == "zero_shot" else {"views": 6}), "none", seed=7, top_k=4)
    frames = [Frame(number, picture(number)) for number in (1, 2, 5)]
    with Client(service) as client:
        sent = list(client.stream(frames, NAMES, options=options))
        made = encode_frames(frames, encoder.features, options, Statistics())
        ours = list(client.stream(made, NAMES, options=options))
    for pixels, features in zip(sent, ours, strict=True):
        assert isinstance(pixels, FrameAnswer) and isinstance(features, FrameAnswer)
        assert pixels.answer.views == features.answer.views and pixels.frame_id == features.frame_id
        for one, two in (
            (pixels.answer.top, features.answer.top),
            (pixels.answer.zero_shot, features.answer.zero_shot),
        ):
            assert {s.label: s.logit for s in one} == pytest.approx({s.label: s.logit for s in two}, abs=1e-3)


def test_another_seed_is_another_look(encoder: Encoder) -> None:
    one, two, again = (encoder.features(picture(1), Choice("mta", {"views": 4}), seed).rows for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert np.allclose(one[0], two[0], atol=1e-6) and not np.allclose(one[1:], two[1:], atol=1e-3)


def command(address: str, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[Any], str]:
    words = [str(folder), "--server", address, "--labels", ",".join(NAMES), "--json", "--seed", "3", *more]
    code = main(words)
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_the_command_says_the_same_both_ways(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures that are shrunk on their way as well: it is their JPEGs that are looked at here."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    asking = ("--strategy", "mta,mean", "--param", "views=5", "--short-side", "96")
    _, [*sent, _], _ = command(service, tmp_path, capsys, *asking)
    code, [*made, _], _ = command(service, tmp_path, capsys, *asking, "--encode-on-device")
    assert code == 0 and [r["strategy"] for r in made] == ["mta", "mean", "mta"]
    for one, two in zip(sent, made, strict=True):
        assert [s["label"] for s in one["top"]] == [s["label"] for s in two["top"]]
        assert [s["logit"] for s in one["top"]] == pytest.approx([s["logit"] for s in two["top"]], abs=1e-3)


class Told(Peer):
    """Says which model it has."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__()
        self.fingerprint = fingerprint

    def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(model="pocket", precision="float32", model_fingerprint=self.fingerprint)


def test_no_pixel_leaves(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does what is no picture at all: it is counted, and said in the end."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture" if number == 1 else picture(number))
    with Client(service) as client:
        info = client.info()
    peer = Told(info.model_fingerprint)
    with served(peer) as address:
        asking = ("--strategy", "mta,zero_shot", "--param", "mta.views=5", "--encode-on-device")
        code, [*_, last], _ = command(address, tmp_path, capsys, *asking)
    assert code == 1 and last["summary"]["dropped"] == {"unreadable": 1}
    images = [frame.image for frame in peer.frames]
    assert [image.WhichOneof("content") for image in images] == ["features"] * 2
    assert [image.features.views for image in images] == [5, 5]  # the first and the third in turn
    assert all(len(image.features.values) == 5 * info.dimension * 4 for image in images)
    assert {image.features.model for image in images} == {info.model_fingerprint}


def test_another_model_is_refused_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.jpg").write_bytes(picture(1))
    peer = Told("f" * 32)
    with served(peer) as address:
        code, _, err = command(address, tmp_path, capsys, "--strategy", "mta", "--encode-on-device")
        assert code == 1 and "f" * 32 in err and "pocket" in err
        code, _, err = command(
            address, tmp_path, capsys, "--strategy", "mta", "--encode-on-device", "--model", "no-such-model"
        )
        assert code == 1 and "no-such-model" in err
    assert not peer.opened


def test_a_strategy_that_this_machine_does_not_know(service: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "1.jpg").write_bytes(picture(1))
    code, _, err = command(service, tmp_path, capsys, "--strategy", "sorcery", "--encode-on-device")
    assert code == 1 and "sorcery" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--encode-on-device"], "--strategy"),
        (["--encode-on-device", "--strategy", "mta", "--reducer", "tome"], "--reducer"),
        (["--checkpoint", "x.safetensors"], "--encode-on-device"),
    ],
)
def test_a_command_line_that_makes_no_sense(words: list[str], sentence: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["virtual:", "--labels", "a,b", *words])
    assert sentence in capsys.readouterr().err


def test_the_client_needs_no_torch() -> None:
    program = (
        "import sys, tta_client.camera.cli; print([n for n in ('torch', 'tta_service', 'numpy') if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert told.stdout.strip() == "[]"
