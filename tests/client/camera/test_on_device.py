"""Features computed on the camera's machine: no pixel leaves it, and the answers equal those of the pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tta_client import Choice, Client, Frame, FrameAnswer, Options, Score, Statistics
from tta_client.camera.cli import main
from tta_client.camera.on_device import Encoder, Model, encode_frames
from tta_client.v1 import tta_pb2 as pb

from tests.client.camera.clips import jpeg
from tests.client.peer import Peer, serve_peer

NAMES = ("cat", "flower", "temple", "coffee cup")


def picture(seed: int, block: int = 40) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return jpeg(coarse.repeat(block, 0).repeat(block, 1))


@pytest.fixture(scope="module")
def encoder(service: str) -> Encoder:
    with Client(service) as client:
        return Encoder(Model(), client.info())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["zero_shot", "mta", "tda"])
def test_the_answers_equal_those_of_the_pictures(service: str, encoder: Encoder, strategy: str) -> None:
    options = Options(Choice(strategy, {} if strategy == "zero_shot" else {"views": 6}), "none", seed=7, top_k=4)
    frames = [Frame(number, picture(number, block)) for number, block in ((1, 40), (2, 40), (5, 100))]  # one is large
    with Client(service) as client:
        from_pictures = list(client.stream(frames, NAMES, options=options))
        features = encode_frames(frames, encoder.features, options, Statistics())
        from_features = list(client.stream(features, NAMES, options=options))
    for one, two in zip(from_pictures, from_features, strict=True):
        assert isinstance(one, FrameAnswer) and isinstance(two, FrameAnswer)
        assert one.answer.views == two.answer.views and one.frame_id == two.frame_id
        for scores, expected in ((two.answer.top, one.answer.top), (two.answer.zero_shot, one.answer.zero_shot)):
            assert logits(scores) == pytest.approx(logits(expected), abs=1e-3)


def logits(scores: tuple[Score, ...]) -> dict[str, float]:
    return {score.label: score.logit for score in scores}


def test_another_seed_cuts_other_views(encoder: Encoder) -> None:
    one, two, again = (encoder.features(picture(1), Choice("mta", {"views": 4}), seed).rows for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert np.allclose(one[0], two[0], atol=1e-6) and not np.allclose(one[1:], two[1:], atol=1e-3)


def run(address: str, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[Any], str]:
    words = [str(folder), "--server", address, "--labels", ",".join(NAMES), "--json", "--seed", "3", *more]
    code = main(words)
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_the_command_prints_equal_answers_both_ways(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also for pictures that are shrunk: the features are made of the JPEGs that would have been sent."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    options = ("--strategy", "mta,mean", "--param", "views=5", "--short-side", "96")
    _, [*pictures, _], _ = run(service, tmp_path, capsys, *options)
    code, [*features, _], _ = run(service, tmp_path, capsys, *options, "--encode-on-device")
    assert code == 0 and [r["strategy"] for r in features] == ["mta", "mean", "mta"]
    for one, two in zip(pictures, features, strict=True):
        assert [s["label"] for s in one["top"]] == [s["label"] for s in two["top"]]
        assert [s["logit"] for s in one["top"]] == pytest.approx([s["logit"] for s in two["top"]], abs=1e-3)


class PeerWithModel(Peer):
    """Reports the fingerprint of a model."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__()
        self.fingerprint = fingerprint

    def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(model="pocket", precision="float32", model_fingerprint=self.fingerprint)


def test_no_pixel_is_sent(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no picture is not sent either: it is counted, and reported at the end."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture" if number == 1 else picture(number))
    with Client(service) as client:
        info = client.info()
    peer = PeerWithModel(info.model_fingerprint)
    with serve_peer(peer) as address:
        options = ("--strategy", "mta,zero_shot", "--param", "mta.views=5", "--encode-on-device")
        code, [*_, last], _ = run(address, tmp_path, capsys, *options)
    assert code == 1 and last["summary"]["dropped"] == {"unreadable": 1}
    images = [frame.image for frame in peer.frames]
    assert [image.WhichOneof("content") for image in images] == ["features"] * 2
    assert [image.features.views for image in images] == [5, 5]  # the first and the third in turn
    assert all(len(image.features.values) == 5 * info.dimension * 4 for image in images)
    assert {image.features.model for image in images} == {info.model_fingerprint}


def test_another_model_is_refused_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.jpg").write_bytes(picture(1))
    peer = PeerWithModel("f" * 32)
    with serve_peer(peer) as address:
        code, _, err = run(address, tmp_path, capsys, "--strategy", "mta", "--encode-on-device")
        assert code == 1 and "f" * 32 in err and "pocket" in err
        code, _, err = run(
            address, tmp_path, capsys, "--strategy", "mta", "--encode-on-device", "--model", "no-such-model"
        )
        assert code == 1 and "no-such-model" in err
    assert not peer.opened


def test_an_unknown_strategy_is_refused(service: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "1.jpg").write_bytes(picture(1))
    code, _, err = run(service, tmp_path, capsys, "--strategy", "sorcery", "--encode-on-device")
    assert code == 1 and "sorcery" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--encode-on-device"], "--strategy"),
        (["--encode-on-device", "--strategy", "mta", "--reducer", "tome"], "--reducer"),
        (["--checkpoint", "x.safetensors"], "--encode-on-device"),
    ],
)
def test_an_invalid_command_line_is_refused(words: list[str], sentence: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["virtual:", "--labels", "a,b", *words])
    assert sentence in capsys.readouterr().err


def test_the_client_needs_no_torch() -> None:
    program = (
        "import sys, tta_client.camera.cli; print([n for n in ('torch', 'tta_service', 'numpy') if n in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert process.stdout.strip() == "[]"
