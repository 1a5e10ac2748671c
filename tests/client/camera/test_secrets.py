"""Secrets of a camera's URL stay out of everything that the command writes: screens, logs, files, sinks, the page."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tta_client.camera import cli
from tta_client.camera.cli import main
from tta_client.camera.command import parse_command
from tta_client.camera.showing import Show

from tests.client.camera import clips
from tests.client.camera.playback import pictures, web
from tests.client.camera.sinks.test_sinks import receive
from tests.patience import until

pytest.importorskip("av", reason="video needs PyAV (extra camera)")
SECRETS = "HUSHUSER", "HUSHWORD", "HUSHTOKEN"
URL = "http://HUSHUSER:HUSHWORD@127.0.0.1:{port}/door?token=HUSHTOKEN"


def parts() -> Iterator[bytes]:
    """Four pictures; then the camera hangs up."""
    for number in range(4):
        yield clips.jpeg(np.full((48, 64, 3), 50 * number, np.uint8))


def find_secrets(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.slow
@pytest.mark.parametrize("given", [[], ["--json"], ["--sources"]])
def test_no_output_has_a_secret(
    given: list[str],
    address: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = list[str]()

    def look(url: str) -> None:
        until(lambda: ".mjpg" in (page := urllib.request.urlopen(url).read().decode()) and not pages.append(page))

    monkeypatch.setattr(cli, "Show", partial(Show, open_page=look))
    with web(pictures(parts)) as camera, receive() as (hook, accepted):
        url = URL.format(port=camera.server_port)
        sinks = [f"jsonl:{tmp_path}/e.jsonl", f"csv:{tmp_path}/e.csv", f"webhook:{hook}#token=HUSHTOKEN"]
        # nobody listens at the port of the discard protocol, so these wait in their spools
        sinks += [
            "mqtt://HUSHUSER:HUSHWORD@127.0.0.1:9/tta#timeout=1",
            "modbus:HUSHUSER:HUSHWORD@127.0.0.1:9#timeout=1",
        ]
        words = [*given, *itertools.chain.from_iterable(("--sink", one) for one in sinks)]
        words += ["--labels", "cat,dog,bird", "--server", address, "--spool", str(tmp_path / "spool"), "--no-reconnect"]
        words += ["--show", "--save-frames", str(tmp_path / "frames"), "--when", "all"]
        if "--sources" in words:
            monkeypatch.setenv("DOOR", url)
            (tmp_path / "cameras.toml").write_text('[[camera]]\nname = "door"\nurl = "${DOOR}"\n')
            words.insert(1, str(tmp_path / "cameras.toml"))
        else:
            words = [url, *words, "--save", str(tmp_path / "out.mp4")]
        assert main(words) == 1  # it hangs up
    printed = capfd.readouterr()
    assert f"***@127.0.0.1:{camera.server_port}" in printed.err + caplog.text and ("cat" in printed.out)
    assert pages and accepted and list((tmp_path / "spool").iterdir()) and list((tmp_path / "frames").rglob("*.json"))
    received = "".join(body.decode() for _, body in accepted)  # its header has the token, for the receiver
    for text in (printed.out, printed.err, caplog.text, pages[0], received):
        assert not find_secrets(text)
    for path in tmp_path.rglob("*"):
        assert not find_secrets(str(path.relative_to(tmp_path)))
        assert path.is_dir() or not find_secrets(path.read_bytes().decode("latin-1")), path


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://HUSHUSER:HUSHWORD@door/1", "1"),
        ("rtsp://HUSHUSER:a/HUSHWORD@door", "camera"),
        ("http://door/snap.cgi?pwd=HUSHWORD", "snap.cgi"),
        ("http://door/token=HUSHTOKEN", "token"),
    ],
)
def test_a_camera_is_named_after_its_url_without_secrets(source: str, name: str) -> None:
    cameras = parse_command([source, "rtsp://other/other", "--labels", "a,b"]).cameras
    assert set(cameras) == {name, "other"} and not find_secrets(repr(cameras[name].arguments))


def test_words_that_are_refused_are_told_without_their_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["rtsp:/HUSHUSER:HUSHWORD@door/1"],
        ["HUSHUSER:HUSHWORD@door", "--watch"],
        ["rtsp://HUSHUSER:HUSHWORD@door/1", "--watch"],
        ["rtsp://HUSHUSER:HUSHWORD@door/1", "--mask", "no"],
        ["0", "--sink", "webhook:HUSHUSER:HUSHWORD@x#token=HUSHTOKEN"],
        ["0", "--sink", "http://HUSHUSER:HUSHWORD@x#token=HUSHTOKEN"],
        ["0", "--sink", "mqtt://HUSHUSER:HUSHWORD@x:port"],
        ["0", "--sink", "mqtt://HUSHUSER:HUSHWORD/@x/t"],
        ["0", "--sink", "modbus:HUSHUSER:HUSHWORD#x@x/t"],
        ["//HUSHUSER:HUSHWORD@door/1"],
        ["http://[HUSHUSER:HUSHWORD@door/1#HUSHTOKEN"],
        ["rtsp://HUSHUSER:HUSHWORD\u2100/@door/1"],
        ["0", "--stall", "token=HUSHTOKEN"],
    ):
        with pytest.raises(SystemExit):
            parse_command([*words, "--labels", "a,b"])
        told = capsys.readouterr().err
        assert told and not find_secrets(told)
